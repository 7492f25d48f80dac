"""Face pictures that installed packages ship, for tests and the demo. None of them is copied into the repository.

All pictures are uint8[height, width, 3], blue green red. Needs OpenCV and the packages insightface and
scikit-image; of insightface only the files are read, its code is not imported.
"""

from __future__ import annotations

import importlib.util
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# Face boxes (x, y, width, height, pixels) as the detector of pack `open` finds them, left to right.
_GROUP_BOXES = (
    (60, 269, 108, 127),
    (268, 151, 99, 116),
    (463, 269, 114, 148),
    (745, 343, 102, 133),
    (905, 65, 100, 138),
    (1132, 274, 92, 123),
)
_ASTRONAUT_BOX = (178, 63, 90, 114)
MARGIN = 0.45
"""Of a cut-out, on each side of the face: as much as keeps every neighbour's face out."""


def group() -> Picture:
    """Six people, one face each, [886, 1280]."""
    return _of_insightface("t1.jpg")


def actor() -> Picture:
    """One face that fills the picture, [112, 112]."""
    return _of_insightface("Tom_Hanks_54745.png")


def astronaut() -> Picture:
    """One person, [512, 512]."""
    from skimage import data

    picture = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.ascontiguousarray(picture[:, :, ::-1])


def nobody() -> Picture:
    """A picture without a face: the lower left of the astronaut's, stripes and cloth, [200, 160]."""
    return np.ascontiguousarray(astronaut()[300:500, :160])


def people() -> dict[str, Picture]:
    """Eight different people, one a picture: `group1` to `group6`, `actor`, `astronaut`."""
    everybody = group()
    cut = {f"group{i}": cut_out(everybody, box) for i, box in enumerate(_GROUP_BOXES, start=1)}
    return cut | {"actor": actor(), "astronaut": cut_out(astronaut(), _ASTRONAUT_BOX)}


def cut_out(picture: Picture, box: tuple[int, int, int, int], margin: float = MARGIN) -> Picture:
    """A face with some of its surroundings, as far as the picture goes."""
    x, y, width, height = box
    dx, dy = int(width * margin), int(height * margin)
    part = picture[max(0, y - dy) : y + height + dy, max(0, x - dx) : x + width + dx]
    return np.ascontiguousarray(part)


def _of_insightface(name: str) -> Picture:
    spec = importlib.util.find_spec("insightface")
    if spec is None:
        raise ModuleNotFoundError("insightface, which ships the pictures, is not installed")
    content = resources.files(importlib.util.module_from_spec(spec)).joinpath("data/images", name).read_bytes()
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{name} of insightface is not a picture")
    return np.asarray(picture, dtype=np.uint8)
