"""The one thing that may outlive its frame: what a candidate's confirmation would need, for at most a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from overt.ledger import FrameClass, TrackClass
from overt.limits import MAX_PROBES
from overt.reasons import Reason
from overt.retention import SIGHTING_CAP

from overt_ingest.domain.books import Fate, Hold
from overt_ingest.domain.faces import Box, Probe

LONGEST = SIGHTING_CAP
"""From the capture of the first shot."""

MOST_SIGHTINGS = 16
"""Of one camera at a time: 16 x 400 kB. More candidates than that at once means that the threshold is wrong;
the oldest then gives way."""

_UNCONFIRMED_FRAME = Fate(FrameClass.EXPIRED, Reason.UNCONFIRMED)
_UNCONFIRMED_TRACK = Fate(TrackClass.UNCONFIRMED)


@dataclass(frozen=True, slots=True)
class Pictures:
    """JPEGs in which every other face that was found is blocked out, and where the alerted one is in each of them.

    `checked`: they were shown to the detector again, and it finds the alerted face only. No others are sealed.
    """

    crop: bytes = field(repr=False)
    scene: bytes = field(repr=False)
    face: Box
    face_in_crop: Box
    checked: bool = False


class Exhibit:
    """Pictures and the two entries of the books that live on in them. Owned by a sighting, then by its evidence."""

    __slots__ = ("_frame", "_pictures", "_track")

    def __init__(self, pictures: Pictures, *, frame: Hold, track: Hold) -> None:
        self._pictures: Pictures | None = pictures
        self._frame = frame
        self._track = track

    @property
    def holds_pictures(self) -> bool:
        """It was neither closed nor sealed."""
        return self._pictures is not None

    @property
    def pictures(self) -> Pictures:
        if self._pictures is None:
            raise RuntimeError("this exhibit holds no pictures any more")
        return self._pictures

    def replace(self, pictures: Pictures) -> None:
        """With the same, checked."""
        self._pictures = pictures

    def sealed(self) -> None:
        """The pictures are gone; sealed bytes, which only alerts can open, wait to be delivered."""
        self._pictures = None

    def close(self, frame: Fate, track: Fate | None = None) -> None:
        """Nothing of it is left here, and there is nothing more to say of the track if that is None. Idempotent: the
        first fates count."""
        self._pictures = None
        self._frame.let_go(frame)
        self._track.let_go(track)


class Sighting:
    """A track's candidate that waits for a second agreeing shot."""

    __slots__ = ("_exhibit", "_on_end", "deadline", "probes")

    def __init__(self, exhibit: Exhibit, first: Probe, *, deadline: float, on_end: Callable[[Sighting], None]) -> None:
        self._exhibit: Exhibit | None = exhibit
        self._on_end = on_end
        self.probes: list[Probe] = [first]
        self.deadline = deadline

    @property
    def waits(self) -> bool:
        return self._exhibit is not None

    def with_probe(self, probe: Probe) -> list[Probe]:
        """What to search: the first shot, which has the candidate, and the newest ones."""
        newest = self.probes[1:][-(MAX_PROBES - 2) :]
        return [self.probes[0], *newest, probe]

    def take(self) -> Exhibit:
        """It is confirmed: the exhibit is the caller's, the templates are gone."""
        exhibit = self._exhibit
        if exhibit is None:
            raise RuntimeError("this sighting is over")
        self._end()
        return exhibit

    def destroy(self) -> None:
        """Unconfirmed. Idempotent, and nothing after `take`."""
        if (exhibit := self._exhibit) is not None:
            self._end()
            exhibit.close(_UNCONFIRMED_FRAME, _UNCONFIRMED_TRACK)

    def _end(self) -> None:
        self._exhibit = None
        self.probes = []
        self._on_end(self)

    def __repr__(self) -> str:
        return f"Sighting({len(self.probes)} shots, {'waits' if self.waits else 'over'})"
