"""Whether a faster engine says the same as the exact one: asked at every start, on this machine's processor.

bf16 has 8 bits of mantissa. On 78 faces of LFW its templates had a cosine of at least .9997 to those of f32, median
.9999. What a processor or a driver really does is another matter, so nobody relies on that figure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from overt.errors import Fatal
from overt.models import package_file

from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Face, Region
from overt_detect.ports import Engine, Picture, Template

LEAST_COSINE = 0.999
LEAST_OVERLAP = 0.9
_SURE_SCORE = 0.7
"""Of the faces compared: those that may be shots."""

WIDTH, HEIGHT = 960, 540
"""Of the picture searched, pixels: a full HD camera's at half its size, so that the graph checked is the one used."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The smallest cosine between two engines' templates of a face, and the smallest overlap (IoU) of their boxes."""

    cosine: float
    overlap: float

    @property
    def holds(self) -> bool:
        return self.cosine >= LEAST_COSINE and self.overlap >= LEAST_OVERLAP


@dataclass(frozen=True, slots=True)
class Reference:
    """What the exact engine says of the picture."""

    picture: Picture = field(repr=False)
    faces: list[Face] = field(repr=False)
    aligned: list[Picture] = field(repr=False)
    templates: list[Template] = field(repr=False)


def picture() -> Picture | None:
    """Seven people whom insightface's wheel shows, uint8[HEIGHT, WIDTH, 3]; None if the files are not there."""
    try:
        group, one = (_decoded(package_file("insightface", f"data/images/{name}")) for name in _FILES)
    except (Fatal, OSError):
        return None
    if group is None or one is None:
        return None
    found = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    width = round(group.shape[1] * HEIGHT / group.shape[0])
    found[:, :width] = cv2.resize(group, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    beside = found[HEIGHT // 3 :, width + 20 :]
    beside[: one.shape[0], : one.shape[1]] = one
    return found


def refer(engine: Engine, seen: Picture) -> Reference:
    """`engine`: the exact one."""
    pixels = BgrPixels(seen)
    faces = engine.find(pixels, Region.whole(pixels.width, pixels.height), 1.0)
    aligned = [engine.align(pixels, face.landmarks) for face in faces if face.score >= _SURE_SCORE]
    return Reference(seen, faces, aligned, [engine.template(a) for a in aligned])


def compare(engine: Engine, reference: Reference) -> Parity:
    """Templates of the same aligned faces; boxes both ways, so that a face too many counts like one too few."""
    pixels = BgrPixels(reference.picture)
    found = engine.find(pixels, Region.whole(pixels.width, pixels.height), 1.0)
    both = ((reference.faces, found), (found, reference.faces))
    overlaps = [_best(face, others) for faces, others in both for face in faces if face.score >= _SURE_SCORE]
    templates = zip(reference.aligned, reference.templates, strict=True)
    cosines = [float(engine.template(aligned) @ template) for aligned, template in templates]
    return Parity(min(cosines, default=0.0), min(overlaps, default=0.0))


def _best(face: Face, others: list[Face]) -> float:
    return max((face.box.overlap(other.box) for other in others), default=0.0)


_FILES = ("t1.jpg", "Tom_Hanks_54745.png")


def _decoded(content: bytes) -> Picture | None:
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.asarray(found, np.uint8)
