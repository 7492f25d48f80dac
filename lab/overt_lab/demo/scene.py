"""Renders the built-in walk-through: people cross a square at changing size, light and sharpness.

Everything is made in memory and from a seed: the same seed gives the same pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from overt_lab.demo.people import Person, Picture

WIDTH, HEIGHT = 1280, 720
FRAMES_PER_SECOND = 12.5
WALK_SECONDS = 4.8
PAUSE_SECONDS = 0.6
LANES = 2
_FACE_FAR, _FACE_NEAR = 62.0, 150.0  # face height in pixels, from far to near


@dataclass(frozen=True, slots=True)
class Walk:
    """One person's way through the scene."""

    person: Person
    starts_at: float
    lane: int
    sway: float
    gain: float
    """Light: the factor at the near end; it is 1 at the far end."""
    blur: float
    """Gaussian sigma in pixels at the far end; sharp at the near end."""


def plan(people: Sequence[Person], seed: int) -> list[Walk]:
    """Two at a time, in seeded order."""
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(people))
    return [
        Walk(
            person=people[index],
            starts_at=(place // LANES) * (WALK_SECONDS + PAUSE_SECONDS) + 0.3 * (place % LANES),
            lane=place % LANES,
            sway=float(chance.uniform(0.5, 1.5)),
            gain=float(chance.uniform(0.75, 1.2)),
            blur=float(chance.uniform(0.0, 0.9)),
        )
        for place, index in enumerate(order)
    ]


def frame_count(walks: Sequence[Walk]) -> int:
    return math.ceil((max(w.starts_at for w in walks) + WALK_SECONDS + PAUSE_SECONDS) * FRAMES_PER_SECOND)


def render(walks: Sequence[Walk], seed: int) -> Iterator[Picture]:
    """Every frame of the scene, HEIGHT x WIDTH x 3."""
    background = _square(seed)
    for number in range(frame_count(walks)):
        now = number / FRAMES_PER_SECOND
        frame = background.copy()
        for walk in walks:
            if 0 <= now - walk.starts_at < WALK_SECONDS:
                _draw(frame, walk, (now - walk.starts_at) / WALK_SECONDS)
        yield frame


def reference_picture(person: Person) -> bytes:
    """How the person looks on the list: not as in the scene, but darker, turned, smaller and compressed."""
    height, width = person.cutout.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 5.0, 1.0)
    turned = cv2.warpAffine(person.cutout, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(turned, None, fx=0.85, fy=0.85, interpolation=cv2.INTER_AREA)
    darker = np.clip(255.0 * (small / 255.0) ** 1.2, 0, 255).astype(np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(darker, quality=82, colorspace="BGR")
    return jpeg


def _square(seed: int) -> Picture:
    """A calm background with some texture, so that it compresses like a picture."""
    chance = np.random.default_rng(seed + 1)
    rows = np.linspace(150, 95, HEIGHT)[:, None]
    columns = np.linspace(0, 18, WIDTH)[None, :]
    noise = cv2.GaussianBlur(chance.normal(0, 22, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 3)
    grey = rows + columns + noise
    tint = np.array([1.04, 1.0, 0.94])
    square: Picture = np.clip(grey[:, :, None] * tint, 0, 255).astype(np.uint8)
    return square


def _draw(frame: Picture, walk: Walk, progress: float) -> None:
    """Blends the person in; `progress` from 0 (far) to 1 (near)."""
    face_height = _FACE_FAR + (_FACE_NEAR - _FACE_FAR) * progress
    scale = face_height / walk.person.face_height
    figure = cv2.resize(walk.person.cutout, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    sigma = walk.blur * (1 - progress)
    if sigma > 0.2:
        figure = cv2.GaussianBlur(figure, (0, 0), sigma)
    light = 1 + (walk.gain - 1) * progress
    mask = _soft_edge(figure.shape[0], figure.shape[1])
    centre = WIDTH * (0.27 + 0.46 * walk.lane) + 40 * math.sin(2 * math.pi * walk.sway * progress)
    left = int(centre - figure.shape[1] / 2)
    top = int(HEIGHT * (0.10 + 0.22 * progress))
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(WIDTH, left + figure.shape[1]), min(HEIGHT, top + figure.shape[0])
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    drawn = figure[part].astype(np.float32) * light
    alpha = mask[part]
    place = frame[y0:y1, x0:x1]
    place[:] = np.clip(alpha * drawn + (1 - alpha) * place, 0, 255).astype(np.uint8)


def _soft_edge(height: int, width: int) -> np.ndarray:
    """1 inside, falling to 0 over the outer tenth; height x width x 1."""
    y = np.minimum(np.arange(height), np.arange(height)[::-1]) / (0.1 * height)
    x = np.minimum(np.arange(width), np.arange(width)[::-1]) / (0.1 * width)
    edge = np.clip(np.minimum(y[:, None], x[None, :]), 0, 1)
    return edge[:, :, None].astype(np.float32)
