"""Whether a track still is who it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from overt_detect.domain.geometry import Box

_SAME_OVERLAP = 0.3
_HIDDEN_S = 0.2
"""A post hides a walker for as long, and somebody else may come out from behind it at the same pace. On a street clip
a man came out from behind another one's face with boxes that always overlapped; his face was not good enough for a
shot for 0.6 s in between. 0.3 s would save one shot in ten."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Of a track's last good face; the speed is in pixels a second."""

    box: Box
    at: float
    dx: float = 0.0
    dy: float = 0.0

    def ahead(self, at: float) -> Box:
        return self.box.moved(self.dx * (at - self.at), self.dy * (at - self.at))

    def on_to(self, box: Box, at: float) -> _Place:
        (x0, y0), (x1, y1) = self.box.centre, box.centre
        seconds = max(at - self.at, 1e-3)
        return _Place(box, at, (x1 - x0) / seconds, (y1 - y0) / seconds)


class Continuity:
    """Of the living tracks of one stream.

    Trackers bridge gaps: when somebody is hidden and somebody else appears nearby, the track goes over to them. So a
    good face may be another person's if it lies neither where its track's last good face was, nor where that was
    heading, or if that is too long ago. Times in seconds on the camera's clock.
    """

    def __init__(self) -> None:
        self._places: dict[int, _Place] = {}
        self._before = 0.0

    def doubtful(self, good: Mapping[int, Box], at: float) -> list[int]:
        """Of the good faces of a frame, by track: the tracks that may have become somebody else. To be told of every
        frame, also of one without any."""
        doubtful = []
        for track, box in good.items():
            if (last := self._places.get(track)) is None:
                self._places[track] = _Place(box, at)
                continue
            near = max(box.overlap(last.box), box.overlap(last.ahead(at))) >= _SAME_OVERLAP
            hidden = last.at < self._before and at - last.at > _HIDDEN_S
            if hidden or not near:
                doubtful.append(track)
            self._places[track] = last.on_to(box, at)
        self._before = at
        return doubtful

    def forget(self, tracks: Iterable[int]) -> None:
        for track in tracks:
            self._places.pop(track, None)

    def __len__(self) -> int:
        return len(self._places)
