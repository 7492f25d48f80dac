"""The people of the built-in demo: cut, in memory, from pictures that installed packages ship."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]

# Where the faces are (x, y, width, height in pixels), as the detector of pack `open` finds them.
_GROUP = "data/images/t1.jpg"
_GROUP_FACES: dict[str, Box] = {
    "alder": (466, 267, 101, 145),
    "birch": (748, 353, 98, 122),
    "cedar": (1125, 273, 96, 124),
    "damson": (906, 58, 100, 145),
    "elm": (61, 268, 107, 129),
    "fir": (267, 151, 105, 126),
}
_SINGLE = "data/images/Tom_Hanks_54745.png"
_SINGLE_FACE: Box = (14, 0, 76, 112)
_ASTRONAUT_FACE: Box = (178, 63, 90, 114)


@dataclass(frozen=True, slots=True)
class Person:
    """A cut-out with one face. `face` is its box within the cut-out."""

    name: str
    cutout: Picture = field(repr=False)
    face: Box


def demo_people() -> list[Person]:
    """Eight people, always in the same order."""
    package = files("insightface")
    group = _decode(package.joinpath(_GROUP).read_bytes())
    people = [_cut(name, group, face) for name, face in _GROUP_FACES.items()]
    people.append(_cut("hazel", _decode(package.joinpath(_SINGLE).read_bytes()), _SINGLE_FACE))
    astronaut = files("skimage").joinpath("data/astronaut.png").read_bytes()
    people.append(_cut("juniper", _decode(astronaut), _ASTRONAUT_FACE))
    return people


def _decode(data: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8, copy=False)


def _cut(name: str, picture: Picture, face: Box) -> Person:
    """With half a face of room at the sides and above and below; never so much that a neighbour gets in."""
    x, y, width, height = face
    left, top = max(0, x - width // 2), max(0, y - height // 3)
    right, bottom = min(picture.shape[1], x + width * 3 // 2), min(picture.shape[0], y + height * 8 // 5)
    cutout = np.ascontiguousarray(picture[top:bottom, left:right])
    return Person(name, cutout, (x - left, y - top, width, height))
