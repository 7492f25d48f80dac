"""The scene that a match leaves, on pictures of real people, asked of the real detector: the alerted face only."""

from __future__ import annotations

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from overt.models import default_directory, ensure
from overt.testing.faces import group
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.graphs.onnx_runtime import OnnxRuntime
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Region
from overt_ingest.adapters.checking import check, others
from overt_ingest.adapters.masking import SCENE_SIDE_PX, develop, scaled, surroundings
from overt_ingest.domain.faces import Box
from overt_ingest.domain.sighting import Pictures

pytestmark = pytest.mark.integration

WIDTH = 960
"""At which detect searches for faces."""


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    """As detect has it."""
    return _engine(0.5)


@pytest.fixture(scope="module")
def judge() -> OnnxEngine:
    """Not for what is a face by a hair: a glass on a table, at one size and not at the next."""
    return _engine(0.6)


def _engine(smallest_score: float) -> OnnxEngine:
    return OnnxEngine(ensure("open", default_directory(os.environ)), OnnxRuntime(), smallest_score=smallest_score)


def _faces(engine: OnnxEngine, picture: NDArray[np.uint8], width: int = WIDTH) -> list[Box]:
    pixels = BgrPixels(picture)
    found = engine.find(pixels, Region.whole(pixels.width, pixels.height), min(1.0, width / max(picture.shape)))
    return [Box(face.box.x, face.box.y, face.box.width, face.box.height) for face in found]


class EngineFinder:
    def __init__(self, engine: OnnxEngine) -> None:
        self._engine = engine

    async def find(self, picture: NDArray[np.uint8]) -> list[Box]:
        return _faces(self._engine, picture, width=max(picture.shape))


def _shows_one(judge: OnnxEngine, pictures: Pictures, *, smallest: float = 0.5) -> None:
    """Nobody else is found at the scene's own size, at three quarters of it, at half; or down to `smallest`."""
    assert pictures.checked
    for jpeg, face in ((pictures.scene, pictures.face), (pictures.crop, pictures.face_in_crop)):
        shown = np.asarray(simplejpeg.decode_jpeg(jpeg, "BGR"))
        assert max(shown.shape) <= SCENE_SIDE_PX
        assert (abs(shown.astype(int) - 128) > 2).mean() > 0.5, "and what is around the face"
        for scale in (1.0, 0.75, 0.5):
            if scale >= smallest:
                found = _faces(judge, shown, width=round(scale * max(shown.shape)))
                assert others(found, face) == [], scale
                assert scale < 1 or len(found) == 1


def _hides(pictures: Pictures, picture: NDArray[np.uint8], alerted: Box, everybody: list[Box]) -> int:
    """How many people's places the scene shows, half of the face or more. There are colours of blocks only."""
    around = surroundings(alerted, picture.shape[1], picture.shape[0])
    scene = np.asarray(simplejpeg.decode_jpeg(pictures.scene, "BGR"))
    scale = scene.shape[1] / (around.right - around.left)
    places = 0
    for box in [scaled(around.seen(other), scale) for other in everybody if other is not alerted]:
        top, bottom = (max(round(box.y + part * box.height), 0) for part in (0.2, 0.8))
        left, right = (max(round(box.x + part * box.width), 0) for part in (0.2, 0.8))
        place = scene[top:bottom, left:right]
        if 0 <= box.x + box.width / 2 < scene.shape[1] and 0 <= box.y + box.height / 2 < scene.shape[0]:
            # 16, 48, 80 and so on, but for what a JPEG makes of their edges. Of any picture that is half.
            assert (abs(place % 32.0 - 16) <= 8).mean() > 0.9, box
            places += 1
    return places


def _squared(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With a grey floor, so that the scene, a square, holds all of it."""
    height, width = picture.shape[:2]
    floor = (90, 90, 90)
    return np.asarray(cv2.copyMakeBorder(picture, 0, width - height, 0, 0, cv2.BORDER_CONSTANT, value=floor), np.uint8)


async def test_of_six_people_one_is_left(engine: OnnxEngine, judge: OnnxEngine) -> None:
    picture = _squared(group())
    everybody = _faces(engine, picture)
    assert len(everybody) == 6
    for alerted in everybody:
        neighbours = [box for box in everybody if box is not alerted]
        pictures = await check(develop(picture, alerted=alerted, others=neighbours), EngineFinder(engine))
        # At three quarters it finds something in one of them that is none of the six.
        _shows_one(judge, pictures, smallest=1.0)
        assert _hides(pictures, picture, alerted, everybody) == 5


async def test_a_face_that_was_missed_in_the_frame_is_found_and_blocked(engine: OnnxEngine, judge: OnnxEngine) -> None:
    picture = _squared(group())
    everybody = _faces(engine, picture)
    alerted, missed = everybody[0], everybody[3]
    neighbours = [box for box in everybody if box not in (alerted, missed)]
    pictures = develop(picture, alerted=alerted, others=neighbours)
    scene = np.asarray(simplejpeg.decode_jpeg(pictures.scene, "BGR"))
    assert len(_faces(judge, scene)) == 2, "it would have been kept"
    pictures = await check(pictures, EngineFinder(engine))
    _shows_one(judge, pictures)
    assert _hides(pictures, picture, alerted, everybody) == 5


async def test_of_a_crowd_that_is_larger_than_the_scene_one_is_left(engine: OnnxEngine, judge: OnnxEngine) -> None:
    """The six, nine times. The scene is a square around the person; of some who stand across its edge it has half."""
    picture = np.tile(np.asarray(cv2.resize(group(), (512, 354), interpolation=cv2.INTER_AREA), np.uint8), (3, 3, 1))
    height, width = picture.shape[:2]
    everybody = _faces(engine, picture)
    assert len(everybody) == 54
    for x, y in ((0, 0), (width, 0), (width / 2, height / 2), (0, height), (width, height)):
        alerted = min(everybody, key=lambda box: (box.x - x) ** 2 + (box.y - y) ** 2)
        # Every third was missed in the frame.
        known = [box for number, box in enumerate(everybody) if box is not alerted and number % 3]
        around = surroundings(alerted, width, height).of(picture).shape
        assert around[0] == around[1] < height
        pictures = await check(develop(picture, alerted=alerted, others=known), EngineFinder(engine))
        assert simplejpeg.decode_jpeg_header(pictures.scene)[:2] == (SCENE_SIDE_PX, SCENE_SIDE_PX)
        _shows_one(judge, pictures, smallest=1.0)
        assert 10 < _hides(pictures, picture, alerted, everybody) < 40


@pytest.mark.data
async def test_on_a_street_one_is_left_too(engine: OnnxEngine, judge: OnnxEngine, shared_data: Path) -> None:
    with av.open(str(shared_data / "clips" / "street_1080p25.mp4")) as clip:
        frames = [frame.to_ndarray(format="bgr24") for i, frame in enumerate(clip.decode(video=0)) if i in (0, 36, 96)]
    for picture in frames:
        everybody = _faces(engine, picture)
        alerted = max(everybody, key=lambda box: box.height)
        neighbours = [box for box in everybody if box is not alerted]
        pictures = await check(develop(picture, alerted=alerted, others=neighbours), EngineFinder(engine))
        _shows_one(judge, pictures)
        _hides(pictures, picture, alerted, everybody)
