"""Boxes, landmarks and zones. Pixels of the picture meant, origin top left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_AROUND_THE_ZONE = 0.1
"""Of the picture's longer side: how far beyond the zone faces are looked for. Whoever walks in is tracked before the
first step inside, and a face whose centre has just come in is seen whole, up to a fifth of the picture's width."""

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

    def moved(self, dx: float, dy: float) -> Box:
        return Box(self.x + dx, self.y + dy, self.width, self.height)

    def scaled(self, by: float) -> Box:
        return Box(self.x * by, self.y * by, self.width * by, self.height * by)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        common = max(across, 0.0) * max(down, 0.0)
        return common / (self.width * self.height + other.width * other.height - common) if common else 0.0

    def grown(self, margin: float) -> Box:
        """With `margin` times its width and height added on each side."""
        dx, dy = self.width * margin, self.height * margin
        return Box(self.x - dx, self.y - dy, self.width + 2 * dx, self.height + 2 * dy)

    def within(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in whole pixels inside a picture; right and bottom exclusive."""
        left, top = max(0, int(self.x)), max(0, int(self.y))
        right, bottom = min(width, round(self.x + self.width)), min(height, round(self.y + self.height))
        return min(left, width), min(top, height), max(right, 0), max(bottom, 0)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole pixels inside a picture, not empty; right and bottom are not included."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def whole(cls, width: int, height: int) -> Region:
        """All of a picture of that size."""
        return cls(0, 0, width, height)

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


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

    def region(self, width: int, height: int) -> Region:
        """Where to look for faces in a picture of that size: the zone and its surroundings."""
        if not self.corners:
            return Region.whole(width, height)
        around = _AROUND_THE_ZONE * max(width, height)
        xs, ys = [x * width for x, _ in self.corners], [y * height for _, y in self.corners]
        return Region(
            max(0, int(min(xs) - around)),
            max(0, int(min(ys) - around)),
            min(width, math.ceil(max(xs) + around)),
            min(height, math.ceil(max(ys) + around)),
        )


def contains(polygon: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Even-odd rule: whether a ray from the point to the right crosses an odd number of sides."""
    inside = False
    ax, ay = polygon[-1]
    for bx, by in polygon:
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
        ax, ay = bx, by
    return inside
