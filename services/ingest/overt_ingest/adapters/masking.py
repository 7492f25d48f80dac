"""A scene in which nobody but the alerted person has a face, and the crop of that face. Pure; blocks.

Every other face that was found is replaced by one flat colour, with a margin of 35 % of its size on each side;
where that reaches into the alerted face's own box, the box wins. The scene is not the whole frame but what is around
the person: who and what else was in view is nobody's business, and less of it has to be checked.

Only JPEGs leave this module. Every array that is made on the way to one is overwritten (`overwriting`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from math import ceil, floor
from typing import ParamSpec, TypeVar

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from overt.errors import Rejected
from overt.reasons import Reason

from overt_ingest.domain.faces import Box
from overt_ingest.domain.frame import Picture
from overt_ingest.domain.sighting import Pictures

P = ParamSpec("P")
T = TypeVar("T")

BGR = NDArray[np.uint8]

MARGIN = 0.35
"""Of a box, each side: a detector's box ends at brow and chin; hair, ears and jaw are a face too."""

CROP_MARGIN = 0.45
"""As much as people need to see to compare two faces."""

LEAST_MARGIN = 0.15
"""What is left around the face when nobody can say whether somebody else is in the picture."""

SURROUNDINGS = 14.0
"""Sides of the scene, in sizes of the alerted face: a person from head to foot is about 10 of them."""

_ABOVE = 0.25
"""Of the scene's height lies above the face, if the frame goes that far: less is to be seen there than below."""

CROP_SIDE_PX = 288
"""At most."""
SCENE_SIDE_PX = 640
"""At most; and, if the frame has as many, at least: then most scenes are of one size, for which detect is prepared."""

MOST_CROP_BYTES = 64 * 1024
MOST_SCENE_BYTES = 320 * 1024
"""With the crop and a sealed card of 100 kB this stays below the 512 kB that evidence may have."""

_QUALITIES = (88, 80, 70, 60, 50, 40)
_SHRINK = 0.75
_SMALLEST_SIDE_PX = 160
_COLOUR_STEPS = 32

_BLEED_PX = 1
"""A pixel of a picture made smaller is mixed from pixels a little further away, where it was halved first: so much
further goes the block."""


_made: ContextVar[list[BGR] | None] = ContextVar("made", default=None)


def overwriting(work: Callable[P, T]) -> Callable[P, T]:
    """Whatever pictures `work` makes on its way are overwritten when it returns or raises."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        made: list[BGR] = []
        before = _made.set(made)
        try:
            return work(*args, **kwargs)
        finally:
            _made.reset(before)
            for picture in made:
                picture.fill(0)

    return run


def ours(picture: BGR) -> BGR:
    """The same. It was made for the work at hand, and ends with it."""
    if (made := _made.get()) is not None:
        made.append(picture)
    return picture


@dataclass(frozen=True, slots=True)
class _Pixels:
    """A rectangle inside a picture: rows top to bottom, columns left to right, ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, picture: BGR) -> BGR:
        return picture[self.top : self.bottom, self.left : self.right]

    def seen(self, box: Box) -> Box:
        """The box as it lies in this rectangle."""
        return Box(box.x - self.left, box.y - self.top, box.width, box.height)


@overwriting
def developed(picture: Picture, *, alerted: Box, others: Iterable[Box]) -> Pictures:
    """`develop` of a frame's picture, of which no more is made visible than the two JPEGs show."""
    width, height = picture.sides()
    shown = _both(surroundings(alerted, width, height), _around(alerted, CROP_MARGIN, width, height))
    bgr = ours(picture.part(shown.left, shown.top, shown.right, shown.bottom))
    return develop(bgr, alerted=shown.seen(alerted), others=[shown.seen(other) for other in others])


@overwriting
def develop(bgr: BGR, *, alerted: Box, others: Iterable[Box]) -> Pictures:
    """Not yet checked. `bgr` is not changed, and nothing of it is kept but what the two JPEGs show. Rejected if the
    face is not in it, or if the pictures cannot be made small enough.

    The scene is made small first and masked then, which is a third of the work.
    """
    others = list(others)
    height, width = bgr.shape[:2]
    part = _around(alerted, CROP_MARGIN, width, height)
    if not part.of(bgr).size:
        raise Rejected(Reason.BAD_MESSAGE, "a face outside of its picture")
    crop = mask(part.of(bgr), alerted=part.seen(alerted), others=[part.seen(other) for other in others])
    around = surroundings(alerted, width, height)
    scene, scale = masked_scene(
        around.of(bgr), alerted=around.seen(alerted), others=[around.seen(other) for other in others]
    )
    scene_jpeg, scene_scale = _fitting(scene, 1.0, MOST_SCENE_BYTES)
    crop_jpeg, crop_scale = _fitting(crop, min(1.0, CROP_SIDE_PX / max(crop.shape[:2])), MOST_CROP_BYTES)
    return Pictures(
        crop_jpeg,
        scene_jpeg,
        scaled(around.seen(alerted), scale * scene_scale),
        scaled(part.seen(alerted), crop_scale),
    )


def surroundings(face: Box, width: int, height: int) -> _Pixels:
    """What the scene shows of a picture of that size: a square, unless the face alone is longer than that."""
    side = min(round(max(SURROUNDINGS * max(face.width, face.height), SCENE_SIDE_PX)), width, height)
    across, down = (
        min(max(side, ceil(of_face) + 1), most) for of_face, most in ((face.width, width), (face.height, height))
    )
    left = _begin(across, 0.5, face.x, face.width, width)
    top = _begin(down, _ABOVE, face.y, face.height, height)
    return _Pixels(top, top + down, left, left + across)


def _begin(length: int, before: float, face: float, face_length: float, most: int) -> int:
    """Where so many of `most` pixels begin that the face is in them, that part of them before its middle if it can
    be."""
    wanted = round(face + face_length / 2 - before * length)
    with_face = min(max(wanted, ceil(face + face_length) - length), floor(face))
    return min(max(with_face, 0), most - length)


def masked_scene(bgr: BGR, *, alerted: Box, others: Iterable[Box]) -> tuple[BGR, float]:
    """A copy of at most SCENE_SIDE_PX in which every other face is one flat colour, and its scale."""
    scale = min(1.0, SCENE_SIDE_PX / max(bgr.shape[:2]))
    scene = _scaled_down(bgr, scale)
    bleed = 0 if scale == 1.0 else _BLEED_PX
    _block_out(scene, scaled(alerted, scale), [scaled(other, scale) for other in others], bleed)
    return scene, scale


def mask(bgr: BGR, *, alerted: Box, others: Iterable[Box]) -> BGR:
    """A copy in which every other face is one flat colour."""
    masked = ours(bgr.copy())
    _block_out(masked, alerted, others)
    return masked


def _block_out(picture: BGR, alerted: Box, others: Iterable[Box], bleed: int = 0) -> None:
    """In place. `bleed`: how many pixels further."""
    height, width = picture.shape[:2]
    own = _around(alerted, 0.0, width, height).of(picture)
    kept = ours(own.copy())
    for other in others:
        block = _around(other, MARGIN, width, height, bleed).of(picture)
        if block.size:
            # Coarse steps: of the person only "dark", "light" or the like is left.
            block[:] = [int(mean) // _COLOUR_STEPS * _COLOUR_STEPS + _COLOUR_STEPS // 2 for mean in cv2.mean(block)[:3]]
    own[:] = kept


@overwriting
def mask_more(pictures: Pictures, *, in_scene: Iterable[Box], in_crop: Iterable[Box]) -> Pictures:
    """The same pictures with more faces blocked out."""
    scene, crop = decode(pictures.scene), decode(pictures.crop)
    _block_out(scene, pictures.face, in_scene)
    _block_out(crop, pictures.face_in_crop, in_crop)
    scene_jpeg, scale = _fitting(scene, 1.0, MOST_SCENE_BYTES)
    crop_jpeg, crop_scale = _fitting(crop, 1.0, MOST_CROP_BYTES)
    return Pictures(crop_jpeg, scene_jpeg, scaled(pictures.face, scale), scaled(pictures.face_in_crop, crop_scale))


@overwriting
def mask_all(pictures: Pictures) -> Pictures:
    """Nothing is left but the alerted face and a little around it."""
    made = []
    for jpeg, face in ((pictures.scene, pictures.face), (pictures.crop, pictures.face_in_crop)):
        picture = decode(jpeg)
        height, width = picture.shape[:2]
        own = _around(face, LEAST_MARGIN, width, height)
        flat = ours(np.full_like(picture, 128))
        own.of(flat)[:] = own.of(picture)
        made.append(bytes(simplejpeg.encode_jpeg(flat, _QUALITIES[0], "BGR", "420")))
    return Pictures(made[1], made[0], pictures.face, pictures.face_in_crop)


@overwriting
def shrink(pictures: Pictures, most_bytes: int) -> Pictures:
    """The same with a scene of at most `most_bytes`. Rejected(MESSAGE_TOO_LARGE) if nothing could be recognised."""
    jpeg, scale = _fitting(decode(pictures.scene), _SHRINK, most_bytes)
    return replace(pictures, scene=jpeg, face=scaled(pictures.face, scale))


def decode(jpeg: bytes) -> BGR:
    """One of our own."""
    return ours(np.asarray(simplejpeg.decode_jpeg(jpeg, "BGR"), dtype=np.uint8))


def scaled(box: Box, scale: float) -> Box:
    return Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)


def _both(one: _Pixels, other: _Pixels) -> _Pixels:
    """The smallest rectangle that holds them."""
    return _Pixels(
        min(one.top, other.top),
        max(one.bottom, other.bottom),
        min(one.left, other.left),
        max(one.right, other.right),
    )


def _around(box: Box, margin: float, width: int, height: int, more: int = 0) -> _Pixels:
    """Outwards to whole pixels, and `more`; cut off at the picture's edges."""
    left = int(np.floor(box.x - margin * box.width)) - more
    top = int(np.floor(box.y - margin * box.height)) - more
    right = int(np.ceil(box.x + (1 + margin) * box.width)) + more
    bottom = int(np.ceil(box.y + (1 + margin) * box.height)) + more
    return _Pixels(
        min(max(top, 0), height), min(max(bottom, 0), height), min(max(left, 0), width), min(max(right, 0), width)
    )


def _scaled_down(picture: BGR, scale: float) -> BGR:
    """Always a copy. Averaging over areas that are no whole pixels takes 9 ms for 1080p, linear interpolation 1.5 ms;
    from half the size down that would skip pixels, so whole halves are averaged first, which is as quick."""
    height, width = picture.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return ours(picture.copy())
    smaller = picture
    while smaller.shape[1] >= 2 * size[0] and smaller.shape[0] >= 2 * size[1]:
        half = smaller.shape[1] // 2, smaller.shape[0] // 2
        smaller = resized(smaller, half, cv2.INTER_AREA)
    return resized(smaller, size, cv2.INTER_LINEAR)


def resized(picture: BGR, size: tuple[int, int], interpolation: int) -> BGR:
    """A picture of its own, `size` being width and height."""
    return ours(np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8))


def _fitting(picture: BGR, scale: float, most_bytes: int) -> tuple[bytes, float]:
    """A JPEG of at most `most_bytes`, and the scale it ended up with: quality gives way first, then size."""
    height, width = picture.shape[:2]
    while True:
        plain = picture if scale == 1.0 else _scaled_down(picture, scale)
        for quality in _QUALITIES:
            jpeg = bytes(simplejpeg.encode_jpeg(plain, quality, "BGR", "420"))
            if len(jpeg) <= most_bytes:
                return jpeg, scale
        scale *= _SHRINK
        if max(width, height) * scale < _SMALLEST_SIDE_PX:
            raise Rejected(Reason.MESSAGE_TOO_LARGE, "the pictures do not fit into evidence")
