"""Makes sure of the masking: what is kept is shown to the detector again, until it finds the alerted face only.

A face that was missed in the frame may be found in the scene, at another scale and after another compression:
on a street clip that happened in a third of the scenes. So the finished scene is looked at as a whole, at half
its size, and in two overlapping parts at full scale, and so is the crop; whoever is found is blocked out, and it
is looked at again. That takes 80 ms on one core, once a candidate.
If detect cannot be asked, or after ROUNDS finds somebody still, everything around the alerted face goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import simplejpeg
from overt.telemetry import get_logger

from overt_ingest.adapters.masking import BGR, decode, mask_all, mask_more
from overt_ingest.adapters.pixels import off_loop
from overt_ingest.domain.admission import SHORTEST_SIDE_PX
from overt_ingest.domain.faces import Away, Box
from overt_ingest.domain.sighting import Pictures
from overt_ingest.ports import FaceFinder

log = get_logger(__name__)

ROUNDS = 4

VIEW_SIDE_PX = 960
"""Of a part of the scene: what detect looks at without scaling it down."""

_VIEW_QUALITY = 95
_SAME_OVERLAP = 0.3


@dataclass(frozen=True, slots=True)
class View:
    """A picture to be looked at. Boxes found in it are `scale` larger, and `left` and `top` further, in the scene."""

    jpeg: bytes = field(repr=False)
    left: int = 0
    top: int = 0
    scale: float = 1.0

    def in_scene(self, box: Box) -> Box:
        scale = self.scale
        return Box(box.x * scale + self.left, box.y * scale + self.top, box.width * scale, box.height * scale)


async def check(pictures: Pictures, finder: FaceFinder) -> Pictures:
    """The same pictures, in which the detector finds the alerted face and no other."""
    for _ in range(ROUNDS):
        *views, crop = await off_loop(views_of, pictures)
        try:
            *in_views, in_crop = await finder.find([view.jpeg for view in (*views, crop)])
        except Away as away:
            log.warning("masking_unchecked", reason=away.reason)
            break
        in_scene = [view.in_scene(box) for view, boxes in zip(views, in_views, strict=True) for box in boxes]
        strangers = others(in_scene, pictures.face)
        strangers_in_crop = others(in_crop, pictures.face_in_crop)
        if not strangers and not strangers_in_crop:
            return replace(pictures, checked=True)
        pictures = await off_loop(mask_more, pictures, in_scene=strangers, in_crop=strangers_in_crop)
    return replace(await off_loop(mask_all, pictures), checked=True)


def views_of(pictures: Pictures) -> list[View]:
    """The scene; the scene at half its size; if detect would scale it down, its two ends at full scale, which
    overlap, so that no face is cut by both edges; and last the crop. Blocks."""
    scene = decode(pictures.scene)
    height, width = scene.shape[:2]
    views = [_view(scene, pictures.scene)]
    if max(height, width) > VIEW_SIDE_PX:
        half = np.asarray(cv2.resize(scene, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
        views.append(_view(half, scale=2.0))
        far = max(height, width) - VIEW_SIDE_PX
        if width >= height:
            views += [_view(scene[:, :VIEW_SIDE_PX]), _view(scene[:, far:], left=far)]
        else:
            views += [_view(scene[:VIEW_SIDE_PX]), _view(scene[far:], top=far)]
    return [*views, _view(decode(pictures.crop), pictures.crop)]


def _view(picture: BGR, jpeg: bytes | None = None, *, left: int = 0, top: int = 0, scale: float = 1.0) -> View:
    """With an edge of grey where it is too small for detect to take; `jpeg` is the same picture, if there is one."""
    height, width = picture.shape[:2]
    if jpeg is None or min(height, width) < SHORTEST_SIDE_PX:
        padded = np.full((max(height, SHORTEST_SIDE_PX), max(width, SHORTEST_SIDE_PX), 3), 128, np.uint8)
        padded[:height, :width] = picture
        jpeg = bytes(simplejpeg.encode_jpeg(padded, _VIEW_QUALITY, "BGR", "420"))
    return View(jpeg, left, top, scale)


def others(found: Sequence[Box], own: Box) -> list[Box]:
    """Those that are not the alerted face: its box is never found quite the same twice."""
    return [box for box in found if not _same(box, own)]


def _same(one: Box, own: Box) -> bool:
    x, y = one.x + one.width / 2, one.y + one.height / 2
    if own.x <= x <= own.x + own.width and own.y <= y <= own.y + own.height:
        return True
    across = min(one.x + one.width, own.x + own.width) - max(one.x, own.x)
    down = min(one.y + one.height, own.y + own.height) - max(one.y, own.y)
    shared = max(across, 0.0) * max(down, 0.0)
    return shared > _SAME_OVERLAP * (one.width * one.height + own.width * own.height - shared)
