"""Who is alive, and what became of the others: one open book for frames and one for tracks of a camera.

An entry's `Life` lasts as long as anything *holds* a part of it: a frame is held by its coroutine and by what
was cut from it for a sighting or for sealed evidence; a track by the camera and by the same. Whoever lets go
may say why; when the last one lets go, the strongest of what was said is the fate that is booked. So nothing
can be booked while a part of it lives, and nothing can die unbooked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overt.ledger import Book, FrameClass, TrackClass
from overt.reasons import Reason

_RETAINED = "retained"


@dataclass(frozen=True, slots=True)
class Fate:
    """A class of the ledger, or `retained`, and a finer code."""

    kind: str
    code: str = ""

    @property
    def retained(self) -> bool:
        return self.kind == _RETAINED


RETAINED = Fate(_RETAINED)

# Strongest first. `rejected` and `superseded` are said by nobody else; an unsearched face in a frame outweighs
# a candidate of the same frame that ran out of time, because it is the one that somebody should look into.
FRAME_ORDER = (
    _RETAINED,
    FrameClass.REJECTED,
    FrameClass.SUPERSEDED,
    FrameClass.UNANALYSED,
    FrameClass.EXPIRED,
    FrameClass.NO_MATCH,
    FrameClass.NO_FACE,
)
# A judgement outweighs a failure to judge, which outweighs what the person's pictures were like.
TRACK_ORDER = (
    _RETAINED,
    TrackClass.UNCONFIRMED,
    TrackClass.NO_MATCH,
    TrackClass.UNANALYSED,
    TrackClass.QUALITY,
    TrackClass.OUTSIDE_ZONE,
    TrackClass.EXPIRED,
)


def stronger(order: Sequence[str], said: Fate | None, new: Fate) -> Fate:
    """The rule by which a fate is decided when several things were said. Evidence that was lost comes directly
    after evidence that was kept: a lost alert is never hidden behind an earlier no-match. Within a class the
    newest code stands. ValueError for a class that is not of `order`."""
    rank = _rank(order, new)
    return new if said is None or rank <= _rank(order, said) else said


def _rank(order: Sequence[str], fate: Fate) -> float:
    return 0.5 if fate.code == Reason.EVIDENCE_LOST else order.index(fate.kind)


class OpenBook:
    """Counts of one camera's frames or tracks. `order` doubles as the closed list of its classes."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = order
        self._entered = 0
        self._retained = 0
        self._destroyed: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._alive: set[Life] = set()

    @property
    def entered(self) -> int:
        return self._entered

    @property
    def in_flight(self) -> int:
        """Living entries, counted on themselves."""
        return len(self._alive)

    @property
    def destroyed(self) -> int:
        return self._destroyed.total()

    def enter(self, on_gone: Callable[[Fate], None] = lambda fate: None) -> Hold:
        """A new entry, held by the caller. `on_gone` is called once, with the fate that was booked."""
        self._entered += 1
        life = Life(self, on_gone)
        self._alive.add(life)
        return life.hold()

    def snapshot(self) -> Book:
        return Book(self._entered, dict(self._destroyed), self._retained, self.in_flight, dict(self._reasons))

    def _gone(self, life: Life, fate: Fate) -> None:
        self._alive.remove(life)
        if fate.retained:
            self._retained += 1
            return
        self._destroyed[str(fate.kind)] += 1
        if fate.code:
            self._reasons[f"{fate.kind}/{fate.code}"] += 1


class Life:
    """One entry of a book."""

    __slots__ = ("_book", "_holds", "_on_gone", "_said")

    def __init__(self, book: OpenBook, on_gone: Callable[[Fate], None]) -> None:
        self._book = book
        self._on_gone = on_gone
        self._holds = 0
        self._said: Fate | None = None

    @property
    def is_over(self) -> bool:
        return self._holds == 0

    def note(self, fate: Fate) -> None:
        """Something happened to it that may be its fate."""
        self._said = stronger(self._book._order, self._said, fate)

    def hold(self) -> Hold:
        """One more thing that keeps a part of it."""
        self._holds += 1
        return Hold(self)

    def _let_go(self) -> None:
        self._holds -= 1
        if self._holds == 0:
            fate = self._said or Fate(FrameClass.EXPIRED, Reason.INTERNAL)
            self._book._gone(self, fate)
            self._on_gone(fate)


class Hold:
    """The right to keep a part of an entry. Let go of it when that part is destroyed; twice does no harm."""

    __slots__ = ("_held", "life")

    def __init__(self, life: Life) -> None:
        self.life = life
        self._held = True

    @property
    def held(self) -> bool:
        return self._held

    def let_go(self, fate: Fate | None = None) -> None:
        """`fate`, if given, is noted first."""
        if not self._held:
            return
        self._held = False
        if fate is not None:
            self.life.note(fate)
        self.life._let_go()
