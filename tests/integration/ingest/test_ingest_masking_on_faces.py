"""The scene that a match leaves, on pictures of real people, asked of the real detector: the alerted face only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import av
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
from overt_ingest.adapters.masking import develop
from overt_ingest.domain.faces import Box
from overt_ingest.domain.sighting import Pictures

pytestmark = pytest.mark.integration

WIDTH = 960
"""At which detect searches for faces."""


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    pack = ensure("open", default_directory(os.environ))
    return OnnxEngine(pack, OnnxRuntime(), smallest_score=0.5)


def _faces(engine: OnnxEngine, picture: NDArray[np.uint8], width: int = WIDTH) -> list[Box]:
    pixels = BgrPixels(picture)
    found = engine.find(pixels, Region.whole(pixels.width, pixels.height), min(1.0, width / max(picture.shape)))
    return [Box(face.box.x, face.box.y, face.box.width, face.box.height) for face in found]


class EngineFinder:
    def __init__(self, engine: OnnxEngine) -> None:
        self._engine = engine

    async def find(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        return [_faces(self._engine, picture, width=max(picture.shape)) for picture in pictures]


def _shows_one(engine: OnnxEngine, pictures: Pictures) -> None:
    for jpeg, face in ((pictures.scene, pictures.face), (pictures.crop, pictures.face_in_crop)):
        shown = np.asarray(simplejpeg.decode_jpeg(jpeg, "BGR"))
        for width in (1280, WIDTH, 640):
            found = _faces(engine, shown, width=width)
            assert others(found, face) == [], width
            assert width < WIDTH or len(found) == 1


async def test_of_six_people_one_is_left(engine: OnnxEngine) -> None:
    picture = group()
    everybody = _faces(engine, picture)
    assert len(everybody) == 6
    for alerted in everybody:
        neighbours = [box for box in everybody if box is not alerted]
        pictures = await check(develop(picture, alerted=alerted, others=neighbours), EngineFinder(engine))
        _shows_one(engine, pictures)


async def test_a_face_that_was_missed_in_the_frame_is_found_and_blocked(engine: OnnxEngine) -> None:
    picture = group()
    everybody = _faces(engine, picture)
    alerted, missed = everybody[0], everybody[3]
    neighbours = [box for box in everybody if box not in (alerted, missed)]
    pictures = develop(picture, alerted=alerted, others=neighbours)
    scene = np.asarray(simplejpeg.decode_jpeg(pictures.scene, "BGR"))
    assert len(_faces(engine, scene)) == 2, "it would have been kept"
    _shows_one(engine, await check(pictures, EngineFinder(engine)))


@pytest.mark.data
async def test_on_a_street_one_is_left_too(engine: OnnxEngine, shared_data: Path) -> None:
    with av.open(str(shared_data / "clips" / "street_1080p25.mp4")) as clip:
        frames = [frame.to_ndarray(format="bgr24") for i, frame in enumerate(clip.decode(video=0)) if i in (0, 36, 96)]
    for picture in frames:
        everybody = _faces(engine, picture)
        alerted = max(everybody, key=lambda box: box.height)
        neighbours = [box for box in everybody if box is not alerted]
        pictures = await check(develop(picture, alerted=alerted, others=neighbours), EngineFinder(engine))
        _shows_one(engine, pictures)
