"""One side of a conservation law, and the closed lists of what may become of a frame and of a track."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FrameClass(StrEnum):
    """How a frame was destroyed. A frame whose picture went into sealed evidence is `retained` instead."""

    NO_FACE = "no_face"
    """Analysed: nobody in it."""
    NO_MATCH = "no_match"
    """Analysed: there were faces, and nothing of the frame was kept."""
    SUPERSEDED = "superseded"
    """A newer one came before it could be analysed."""
    UNANALYSED = "unanalysed"
    """detect or match was not there, or too slow: destroyed unseen, or with a face unsearched."""
    REJECTED = "rejected"
    """Not usable as it came: not a picture, out of bounds, wrong clock or sequence."""
    EXPIRED = "expired"
    """Its time ran out: its camera closed first, or what was cut from it waited too long and was destroyed."""


class TrackClass(StrEnum):
    """What became of a track of which nothing is kept."""

    NO_MATCH = "no_match"
    """Searched: not on the list."""
    QUALITY = "quality"
    """No face of it was good enough to be searched."""
    OUTSIDE_ZONE = "outside_zone"
    """Never inside the zone of recognition: never templated."""
    UNCONFIRMED = "unconfirmed"
    """A candidate that no second shot confirmed in time."""
    UNANALYSED = "unanalysed"
    """detect or match went away before it was judged."""
    EXPIRED = "expired"
    """It ended, or its camera closed, before any of the above; or its evidence could not be delivered in time."""


FRAME_CLASSES: tuple[str, ...] = tuple(FrameClass)
TRACK_CLASSES: tuple[str, ...] = tuple(TrackClass)


@dataclass(frozen=True, slots=True)
class Book:
    """Counts at one moment: `entered == sum(destroyed) + retained + in_flight`.

    `in_flight` was counted on living objects, not computed from the others: that is what makes the law a test.
    `reasons` splits classes further, "class/code"; a class need not be split completely.
    """

    entered: int = 0
    destroyed: Mapping[str, int] = field(default_factory=dict)
    retained: int = 0
    in_flight: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def destroyed_total(self) -> int:
        return sum(self.destroyed.values())

    def conserved(self) -> bool:
        """Whether the law holds and no count is negative."""
        counts = (*self.destroyed.values(), *self.reasons.values(), self.entered, self.retained, self.in_flight)
        return (
            min(counts) >= 0 and self.entered == self.destroyed_total + self.retained + self.in_flight
        ) and self._reasons_fit()

    def knows_only(self, classes: Iterable[str]) -> bool:
        """Whether every class, and the class of every reason, is of this closed list."""
        allowed = set(classes)
        return set(self.destroyed) <= allowed and {key.split("/", 1)[0] for key in self.reasons} <= allowed

    def of(self, destroyed_class: str) -> int:
        return self.destroyed.get(destroyed_class, 0)

    def __add__(self, other: Book) -> Book:
        return Book(
            entered=self.entered + other.entered,
            destroyed=added(self.destroyed, other.destroyed),
            retained=self.retained + other.retained,
            in_flight=self.in_flight + other.in_flight,
            reasons=added(self.reasons, other.reasons),
        )

    def _reasons_fit(self) -> bool:
        split: dict[str, int] = {}
        for key, n in self.reasons.items():
            name = key.split("/", 1)[0]
            split[name] = split.get(name, 0) + n
        return all(n <= self.destroyed.get(name, 0) for name, n in split.items())


EMPTY_BOOK = Book()


def added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    """The sum of two counts, key by key."""
    total = dict(left)
    for key, n in right.items():
        total[key] = total.get(key, 0) + n
    return total
