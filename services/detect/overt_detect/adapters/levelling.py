"""A second look at a face that is worth a template: small, upright, always at the same size.

YuNet's landmarks show little of a tilt: a head leaning by 27 degrees reads 6, and a face aligned by them is not
recognised. They also depend on how large the face was in the detector's input, and there it is as small as can be.
But its score is highest where a face is upright. So the face is first looked at small, turned by seven angles at
once: the scores say how it is tilted, to within 5 degrees. Then once more, upright and larger: that gives the
landmarks.

Mean cosine between 100 faces of LFW and the same pictures turned by 10, 15, 20, 25, 45 degrees, without and with it:
.93 and .97, .87 and .97, .78 and .97, .65 and .97, .16 and .96. Verification on 3,000 pairs of LFW, where faces were
searched at a quarter of their size (24 pixels): 98.8 and 99.6 %; at their full size 99.5 and 99.5 %. Takes 3 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from overt_detect.domain.geometry import Box, Face
from overt_detect.ports import Picture, Pixels

LOOK_PX, _FACE_PX = 160, 90
"""The size of the last look, and of the face in it, pixels."""

SCAN_PX, _SCANNED_PX = 64, 40
"""The same of the first: tells the angle as well as 160 and 90 do, in a sixth of the time."""

TURNS = np.array([-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0])
_BAND = 0.04
"""Turns count by how near their score comes to the best one, from this far below it on."""

LEVEL_DEG = 8.0
"""Less tilt than this is none: it is hardly more than the error of the scan."""


class Looker(Protocol):
    """A detector of small square pictures, all of one size."""

    def find_each(self, pictures: Sequence[Picture]) -> list[list[Face]]: ...

    def best_scores(self, pictures: Sequence[Picture], *, within: float) -> NDArray[np.float32]:
        """Of each picture, the score of the best face whose centre is about `within` pixels from the middle."""
        ...


def level(looker: Looker, pixels: Pixels, face: Face) -> Face:
    """The face with better landmarks, or the same object if it is not found again."""
    surroundings = _Surroundings(pixels, face.box)
    views = [surroundings.turned(degrees, SCAN_PX, _SCANNED_PX)[0] for degrees in TURNS]
    scores = looker.best_scores(views, within=_SCANNED_PX / 2)
    weights = np.clip(scores - scores.max() + _BAND, 0, None)
    tilt = float(weights @ TURNS / weights.sum())
    view, back = surroundings.turned(tilt if abs(tilt) >= LEVEL_DEG else 0.0, LOOK_PX, _FACE_PX)
    (found,) = looker.find_each([view])
    landmarks = _nearest(found)
    if landmarks is None:
        return face
    return replace(face, landmarks=np.asarray(landmarks @ back[:, :2].T + back[:, 2], np.float32))


def _nearest(found: Sequence[Face]) -> NDArray[np.float32] | None:
    """The landmarks of the face in the middle of the last look: not those of a neighbour."""
    middle = LOOK_PX / 2, LOOK_PX / 2
    near = [(float(np.hypot(*np.subtract(face.box.centre, middle))), face.landmarks) for face in found]
    distance, landmarks = min(near, key=lambda n: n[0], default=(np.inf, None))
    return landmarks if distance <= _FACE_PX / 2 else None


class _Surroundings:
    """The part of a picture around a face that its turned views show."""

    def __init__(self, pixels: Pixels, box: Box) -> None:
        self._centre = box.centre
        self._size = box.longer_side
        # A view's diagonal is what has to be there at any turn; what lies outside of the picture is black anyway.
        reach = max(LOOK_PX / _FACE_PX, SCAN_PX / _SCANNED_PX) * self._size * np.sqrt(0.5) + 1
        x, y = box.centre
        left, top, right, bottom = Box(x - reach, y - reach, 2 * reach, 2 * reach).within(pixels.width, pixels.height)
        self._corner = left, top
        self._picture = pixels.part(left, top, right, bottom) if right > left and bottom > top else None

    def turned(self, degrees: float, side: int, face: int) -> tuple[Picture, NDArray[np.float64]]:
        """A view `side` pixels square with the face in its middle and `face` pixels large, and the affine map from
        there to the whole picture."""
        there = np.asarray(cv2.getRotationMatrix2D(self._centre, degrees, face / self._size), np.float64)
        there[:, 2] += np.subtract(side / 2, self._centre)
        back = np.asarray(cv2.invertAffineTransform(there), np.float64)
        if self._picture is None:
            return np.zeros((side, side, 3), np.uint8), back
        there[:, 2] += there[:, :2] @ self._corner
        return np.asarray(cv2.warpAffine(self._picture, there, (side, side)), np.uint8), back
