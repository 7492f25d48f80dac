"""Clips rendered in memory: people of package pictures who walk through a calm scene as they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from overt.testing import faces
from overt.testing.faces import MARGIN, Picture

WIDTH, HEIGHT = 1280, 720
RATE = 25


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody's face is: its centre and its longer side, pixels."""

    x: float
    y: float
    size: float


Walk = Callable[[float], Place | None]
"""Where somebody is after so many seconds; None: not in the scene."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame of a clip, and who is where in it."""

    at: float
    picture: Picture = field(repr=False)
    places: dict[str, Place]

    def who(self, x: float, y: float) -> str:
        """Who is nearest to that point."""
        return min(self.places, key=lambda name: np.hypot(self.places[name].x - x, self.places[name].y - y))


def clip(walks: Mapping[str, Walk], seconds: float, *, post: tuple[int, int] | None = None) -> Iterator[Shown]:
    """RATE frames a second. Those named later walk in front of those before, and a grey post, from one column to
    another, stands in front of everybody."""
    chance = np.random.default_rng(7)
    square = np.linspace(150, 95, HEIGHT)[:, None, None] * np.array([1.04, 1.0, 0.94])
    grains = [chance.normal(0, 2, (HEIGHT, WIDTH, 3)) for _ in range(3)]
    empty = [np.clip(square + grain, 0, 255).astype(np.uint8) for grain in grains]
    figures = {name: (picture, _outline(picture)) for name, picture in faces.people().items() if name in walks}
    for number in range(round(seconds * RATE)):
        at = number / RATE
        frame = empty[number % len(empty)].copy()
        places = {name: place for name, walk in walks.items() if (place := walk(at)) is not None}
        for name, place in places.items():
            _draw(frame, *figures[name], place)
        if post is not None:
            frame[:, post[0] : post[1]] = 110
        yield Shown(at, frame, places)


def straight(start: Place, end: Place, seconds: float, *, begin: float = 0.0) -> Walk:
    """From one place to the other at a steady pace; before and after that, nowhere."""

    def walk(at: float) -> Place | None:
        done = (at - begin) / seconds
        if not 0 <= done <= 1:
            return None
        return Place(*(a + (b - a) * done for a, b in zip(_values(start), _values(end), strict=True)))

    return walk


def _values(place: Place) -> tuple[float, float, float]:
    return place.x, place.y, place.size


def _outline(picture: Picture) -> np.ndarray:
    """1 where the person is, about: an oval head on shoulders. height x width x 1."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.float32)
    middle = width // 2
    cv2.ellipse(mask, (middle, int(height * 0.47)), (int(width * 0.36), int(height * 0.44)), 0, 0, 360, 1, -1)
    cv2.ellipse(mask, (middle, height), (int(width * 0.48), int(height * 0.25)), 0, 0, 360, 1, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), width / 60))[:, :, None]


def _draw(frame: np.ndarray, picture: Picture, outline: np.ndarray, place: Place) -> None:
    scale = place.size * (1 + 2 * MARGIN) / picture.shape[0]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    figure = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how).astype(np.float32)
    alpha = cv2.resize(outline, figure.shape[1::-1], interpolation=cv2.INTER_LINEAR)[:, :, None]
    left, top = round(place.x - figure.shape[1] / 2), round(place.y - figure.shape[0] / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(WIDTH, left + figure.shape[1]), min(HEIGHT, top + figure.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    there = frame[y0:y1, x0:x1]
    there[:] = (alpha[part] * figure[part] + (1 - alpha[part]) * there).astype(np.uint8)
