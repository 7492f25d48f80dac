"""The living tracks of one camera: people's runs of faces, from detect's first word of them to their fate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from overt.ids import StreamId, TrackKey, track_key
from overt.ledger import TrackClass
from overt.reasons import Reason

from overt_ingest.domain.books import Fate, Hold, OpenBook
from overt_ingest.domain.faces import FoundFace, known_reason
from overt_ingest.domain.sighting import Sighting

# Why a face was not templated although nothing is wrong with its picture: says nothing of the track's fate.
_NO_FAULT = frozenset({Reason.NOT_BETTER, Reason.NEXT_FRAME, Reason.SETTLED, Reason.NOT_TRACKED})


def fate_of_refusal(code: str) -> Fate | None:
    """What a face that is not a shot says about its track."""
    reason = known_reason(code)
    if reason in _NO_FAULT:
        return None
    if reason is Reason.OUTSIDE_ZONE:
        return Fate(TrackClass.OUTSIDE_ZONE)
    return Fate(TrackClass.QUALITY, reason)


class Track:
    """One person's run of faces. Holds no pixels and no template; its sighting does, while there is one.

    `settled`: its last search ended in an alert. `alerts`: the entries that it has alerted for.
    """

    __slots__ = (
        *("__weakref__", "_ending", "_hold", "_shots"),
        *("alerts", "key", "searched", "settled", "sighting", "wants_shot"),
    )

    def __init__(self, key: TrackKey, hold: Hold) -> None:
        self.key = key
        self.searched = False
        self.settled = False
        self.alerts: set[str] = set()
        self.wants_shot = False
        self.sighting: Sighting | None = None
        self._hold = hold
        self._shots = 0
        self._ending = False

    @property
    def ended(self) -> bool:
        return not self._hold.held

    @property
    def waits(self) -> bool:
        """It has a candidate that another shot may confirm."""
        return self.sighting is not None and self.sighting.waits

    def note(self, fate: Fate) -> None:
        self._hold.life.note(fate)

    def hold(self) -> Hold:
        """For a sighting or evidence that may outlive it."""
        return self._hold.life.hold()

    @contextmanager
    def judging(self) -> Iterator[None]:
        """A shot of it is being judged, or waits for its turn: it lives that long, even if detect ends it meanwhile."""
        self._shots += 1
        try:
            yield
        finally:
            self._shots -= 1
            self._end_when_judged()

    def end(self, fate: Fate) -> None:
        """detect will not speak of it again. When its last shot is judged, a sighting that still waits can no longer
        be confirmed, and the track is gone."""
        if not self.ended:
            self.note(fate)
            self._ending = True
            self._end_when_judged()

    def _end_when_judged(self) -> None:
        if not self._ending or self._shots:
            return
        if self.sighting is not None:
            self.sighting.destroy()
            self.sighting = None
        self._hold.let_go()


class Tracks:
    """Those of one stream to detect; another stream's numbers start again."""

    def __init__(self, book: OpenBook, on_gone: Callable[[Fate], None] = lambda fate: None) -> None:
        self._book = book
        self._on_gone = on_gone
        self._living: dict[int, Track] = {}
        self.stream: StreamId | None = None
        self.faces_seen = 0

    def __len__(self) -> int:
        return len(self._living)

    def __getitem__(self, number: int) -> Track:
        return self._living[number]

    def follow(self, stream: StreamId | None) -> None:
        """Follows another stream, or none. The tracks of the one before cannot go on: detect has lost them."""
        if stream == self.stream:
            return
        self.end_all(Fate(TrackClass.UNANALYSED, Reason.DETECT_AWAY))
        self.stream = stream

    def observe(self, faces: Iterable[FoundFace]) -> None:
        """Enters new tracks and notes why faces are not shots."""
        assert self.stream is not None
        for face in faces:
            if face.track == 0:
                continue
            track = self._living.get(face.track)
            if track is None:
                track = Track(track_key(self.stream, face.track), self._book.enter(self._on_gone))
                self._living[face.track] = track
            if not face.is_shot and (fate := fate_of_refusal(face.refused)) is not None:
                track.note(fate)

    def count_searched(self, track: Track) -> None:
        """match answered for it: it is one of the faces seen."""
        if not track.searched:
            track.searched = True
            self.faces_seen += 1

    def end(self, numbers: Iterable[int]) -> None:
        """detect will not report these again. Unknown numbers change nothing."""
        for number in numbers:
            if track := self._living.pop(number, None):
                track.end(Fate(TrackClass.EXPIRED))

    def end_all(self, fate: Fate) -> None:
        while self._living:
            _, track = self._living.popitem()
            track.end(fate)

    @property
    def pending(self) -> list[int]:
        """Those that need another shot: a candidate waits for it, or match was away when the last one came."""
        return [n for n, track in self._living.items() if track.wants_shot or track.waits]

    @property
    def settled(self) -> list[int]:
        """Those that have their alert: of them detect sends a shot only now and then, or when they may have become
        somebody else."""
        return [n for n, track in self._living.items() if track.settled]
