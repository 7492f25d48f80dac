"""Makes sure of the masking: what is kept is shown to the detector again, until it finds the alerted face only.

A face that was missed in the frame may be found in the scene, at another scale and after another compression:
on a street clip that happened in a third of the scenes. So the finished scene is looked at as it is and at half its
size, and so is the crop; whoever is found is blocked out, and it is looked at again. All of it lies on one sheet: one
question, one turn among the cameras' frames. If detect cannot be asked, or after ROUNDS finds somebody still,
everything around the alerted face goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from overt.pictures import SHORTEST_SIDE_PX
from overt.telemetry import get_logger

from overt_ingest.adapters.masking import BGR, CROP_SIDE_PX, decode, mask_all, mask_more, overwriting, resized, scaled
from overt_ingest.adapters.pixels import off_loop
from overt_ingest.domain.faces import Away, Box
from overt_ingest.domain.sighting import Pictures
from overt_ingest.ports import FaceFinder

log = get_logger(__name__)

ROUNDS = 4

SMALLER = 0.5
"""Of the scene, beside 1. What is found at one is not always found at the other."""

GAP_PX = 32
"""Of grey between the pictures of a sheet, so that nobody's face begins in one and ends in the next."""

_SHEET_MULTIPLE_PX = 32
"""Sheets of scenes of the same size are of the same size; of nearly all it is SHEET_PX."""

_SAME_OVERLAP = 0.3


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture on a sheet. It was made `scale` times as large as what it shows: the scene, or the crop."""

    left: int
    top: int
    width: int
    height: int
    scale: float = 1.0
    of_crop: bool = False

    def holds(self, box: Box) -> bool:
        """Its centre is here, or in the half of the gap that is ours."""
        x, y, gap = box.x + box.width / 2, box.y + box.height / 2, GAP_PX / 2
        return (
            self.left - gap <= x < self.left + self.width + gap and self.top - gap <= y < self.top + self.height + gap
        )

    def shown(self, box: Box) -> Box:
        """Where that is in what the tile shows."""
        return scaled(Box(box.x - self.left, box.y - self.top, box.width, box.height), 1 / self.scale)


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that is to be looked at, side by side on grey."""

    picture: BGR = field(repr=False)
    tiles: Sequence[Tile]

    def sort(self, found: Sequence[Box]) -> tuple[list[Box], list[Box]]:
        """What was found on it: in the scene, and in the crop."""
        placed = [(tile, tile.shown(box)) for box in found for tile in self.tiles if tile.holds(box)]
        return [box for tile, box in placed if not tile.of_crop], [box for tile, box in placed if tile.of_crop]


async def check(pictures: Pictures, finder: FaceFinder) -> Pictures:
    """The same pictures, in which the detector finds the alerted face and no other."""
    for _ in range(ROUNDS):
        try:
            in_scene, in_crop = await _found(pictures, finder)
        except Away as away:
            log.warning("masking_unchecked", reason=away.reason)
            break
        strangers, strangers_in_crop = others(in_scene, pictures.face), others(in_crop, pictures.face_in_crop)
        if not strangers and not strangers_in_crop:
            return replace(pictures, checked=True)
        pictures = await off_loop(mask_more, pictures, in_scene=strangers, in_crop=strangers_in_crop)
    return replace(await off_loop(mask_all, pictures), checked=True)


async def _found(pictures: Pictures, finder: FaceFinder) -> tuple[list[Box], list[Box]]:
    """Every face in the scene, and in the crop. Away."""
    made: list[Sheet] = []
    try:
        await off_loop(lambda: made.append(sheet_of(pictures)))
        return made[0].sort(await finder.find(made[0].picture))
    finally:
        for sheet in made:
            sheet.picture.fill(0)


@overwriting
def sheet_of(pictures: Pictures) -> Sheet:
    """The scene as it is kept; beside it the crop, and below that the scene made smaller. The sheet is the caller's to
    overwrite. Blocks."""
    scene, crop = decode(pictures.scene), decode(pictures.crop)
    height, width = scene.shape[:2]
    smaller = resized(scene, (max(1, round(width * SMALLER)), max(1, round(height * SMALLER))), cv2.INTER_AREA)
    beside, below = width + GAP_PX, crop.shape[0] + GAP_PX
    tiles = [
        Tile(0, 0, width, height),
        Tile(beside, 0, crop.shape[1], crop.shape[0], of_crop=True),
        Tile(beside, below, smaller.shape[1], smaller.shape[0], SMALLER),
    ]
    # As large as the largest crop would make it.
    bottom = max(height, CROP_SIDE_PX + GAP_PX + smaller.shape[0])
    right = beside + max(CROP_SIDE_PX, smaller.shape[1])
    sheet = np.full((_up(bottom), _up(right), 3), 128, np.uint8)
    for picture, t in zip((scene, crop, smaller), tiles, strict=True):
        sheet[t.top : t.top + t.height, t.left : t.left + t.width] = picture
    return Sheet(sheet, tiles)


def _up(side: int) -> int:
    """A sheet is no smaller than detect takes, and has one of few sizes."""
    return max(SHORTEST_SIDE_PX, side + -side % _SHEET_MULTIPLE_PX)


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
