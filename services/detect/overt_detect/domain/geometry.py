"""Boxes, landmarks and zones. Pixels of the picture meant, origin top left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Landmarks = NDArray[np.float32]
"""float32[5, 2]: right eye, left eye, nose, right and left corner of the mouth, as seen in the picture."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; may reach over the picture's edge."""

    x: float
    y: float
    width: float
    height: float

    @property
    def longer_side(self) -> float:
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def grown(self, margin: float) -> Box:
        """With `margin` times its width and height added on each side."""
        dx, dy = self.width * margin, self.height * margin
        return Box(self.x - dx, self.y - dy, self.width + 2 * dx, self.height + 2 * dy)

    def within(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels inside a picture; right and bottom exclusive."""
        left, top = max(0, int(self.x)), max(0, int(self.y))
        right, bottom = min(width, round(self.x + self.width)), min(height, round(self.y + self.height))
        return min(left, width), min(top, height), max(right, 0), max(bottom, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face found in a picture. `score` is the detector's, 0..1."""

    box: Box
    landmarks: Landmarks
    score: float


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone of recognition: a polygon in fractions of width and height. Empty: the whole picture."""

    corners: tuple[tuple[float, float], ...] = ()

    def holds(self, box: Box, width: int, height: int) -> bool:
        """Whether the box's centre lies inside."""
        if not self.corners:
            return True
        x, y = box.centre
        return contains(self.corners, x / width, y / height)


def contains(polygon: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Even-odd rule: whether a ray from the point to the right crosses an odd number of sides."""
    inside = False
    ax, ay = polygon[-1]
    for bx, by in polygon:
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
        ax, ay = bx, by
    return inside
