"""Tracking by ByteTrack of the package `trackers`, on capture times.

Chosen on a street clip (105 frames, eleven people, about 8 faces a frame), of which every frame, every second, third,
fourth or fifth was shown: overlap measured on grown boxes, a match from 0.3 on, half a second until a lost track
ends. Boxes are grown by the more, the longer the last frame is ago: somebody who walks past close by moves by his
face's width in 0.12 s, and with boxes grown by 0.3 was never tracked at 8 frames/s; more growth than needed lets
tracks go over from one person to another who is near (2 times on the clip with 0.3, 4 times with 0.8, at 25
frames/s). A longer wait does that too. Costs 0.4 ms a frame with 8 faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import supervision
from trackers import BIoU, ByteTrackTracker

from overt_detect.domain.geometry import Face
from overt_detect.ports import Tracked

_GROWN_PER_S = 6.0
_GROWN_LEAST, _GROWN_MOST = 0.3, 1.0
"""Of a box's sides, added at each end."""
_SMALLEST_OVERLAP = 0.3
_LOST_FOR_S = 0.5
_SURE = 0.6
"""Detector score from which a face may begin a track; weaker ones only carry one on."""
_NOMINAL_RATE = 25.0
"""Frames/s that the motion model's noise is tuned for; real intervals come from the capture times."""
_JUST_AFTER_S = 0.001


class ByteTrack:
    """A tracker for one stream. Ids begin at 1 with the second frame in a row that shows a face."""

    def __init__(self) -> None:
        self._tracker = ByteTrackTracker(
            # Counted at 30 frames/s whatever the rate, see its documentation.
            lost_track_buffer=round(_LOST_FOR_S * 30),
            frame_rate=_NOMINAL_RATE,
            track_activation_threshold=_SURE,
            high_conf_det_threshold=_SURE,
            minimum_consecutive_frames=2,
            minimum_iou_threshold=_SMALLEST_OVERLAP,
            iou=BIoU(_GROWN_LEAST),
        )
        self._alive: frozenset[int] = frozenset()
        self._last = float("-inf")

    def follow(self, faces: Sequence[Face], at: float) -> Tracked:
        before, self._last = self._last, max(at, self._last + _JUST_AFTER_S)
        grown = min(_GROWN_MOST, max(_GROWN_LEAST, _GROWN_PER_S * (self._last - before)))
        self._tracker.iou = BIoU(grown)
        corners = [(f.box.x, f.box.y, f.box.x + f.box.width, f.box.y + f.box.height) for f in faces]
        detections = supervision.Detections(
            xyxy=np.array(corners, np.float32).reshape(-1, 4),
            confidence=np.array([f.score for f in faces], np.float32),
            # The tracker gives the faces back in another order.
            data={"place": np.arange(len(faces))},
        )
        found = self._tracker.update(detections, timestamp=self._last)
        tracks = [0] * len(faces)
        numbers = found.tracker_id
        if numbers is not None and len(numbers):
            for place, number in zip(found.data["place"], numbers, strict=True):
                tracks[int(place)] = int(number) + 1
        alive = frozenset(t.tracker_id + 1 for t in self._tracker.tracks if t.tracker_id >= 0)
        ended = tuple(sorted(self._alive - alive))
        self._alive = alive
        return Tracked(tuple(tracks), ended)
