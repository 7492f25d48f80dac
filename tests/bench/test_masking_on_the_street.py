"""How often the masking check has to look again, and what another detector finds in what it let pass."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Region
from overt_ingest.adapters.checking import check, others
from overt_ingest.adapters.masking import develop
from overt_ingest.domain.faces import Box
from overt_lab.bench.stages import Stages, build, decoded

pytestmark = [pytest.mark.bench, pytest.mark.data, pytest.mark.timeout(300)]

EVERY, SMALLEST_PX = 8, 40
SIZES = (1.0, 0.75, 2.0)


class Finder:
    def __init__(self, stages: Stages) -> None:
        self._engine = stages.chosen.engine
        self.looks = 0

    def boxes(self, picture: NDArray[np.uint8], scale: float) -> list[Box]:
        found = self._engine.find(BgrPixels(picture), Region.whole(picture.shape[1], picture.shape[0]), scale)
        return [Box(face.box.x, face.box.y, face.box.width, face.box.height) for face in found]

    async def find(self, picture: NDArray[np.uint8]) -> list[Box]:
        self.looks += 1
        return self.boxes(picture, 1.0)


def _opencv(detector: Any, scene: NDArray[np.uint8], size: float) -> list[Box]:
    shown = cv2.resize(scene, None, fx=size, fy=size, interpolation=cv2.INTER_AREA if size < 1 else cv2.INTER_LINEAR)
    detector.setInputSize(shown.shape[1::-1])
    found = detector.detect(shown)[1]
    return [] if found is None else [Box(*(float(v) / size for v in row[:4])) for row in found]


async def test_scenes_of_a_street(shared_data: Path) -> None:
    stages = build()
    opencv: Any = cv2.FaceDetectorYN.create(str(stages.prepared.detector), "", (320, 320), 0.6, 0.3, 5000)
    looks, somebody_else, scenes = Counter[int](), Counter[float](), 0
    for number, frame in enumerate(decoded(shared_data / "clips" / "street_1080p25.mp4")):
        if number % EVERY:
            continue
        picture = frame.to_ndarray(format="bgr24")
        faces = Finder(stages).boxes(picture, 0.5)
        for alerted in faces:
            if max(alerted.width, alerted.height) < SMALLEST_PX:
                continue
            finder = Finder(stages)
            neighbours = [face for face in faces if face is not alerted]
            kept = await check(develop(picture, alerted=alerted, others=neighbours), finder)
            scene = np.asarray(simplejpeg.decode_jpeg(kept.scene, "BGR"), np.uint8)
            scenes += 1
            looks[finder.looks] += 1
            for size in SIZES:
                somebody_else[size] += bool(others(_opencv(opencv, scene, size), kept.face))
    print(f"\n{scenes} scenes; looks: {dict(sorted(looks.items()))}")
    for size in SIZES:
        print(f"OpenCV's detector (0.6) finds somebody else at {size:g} times the size: {somebody_else[size]}")
    assert not somebody_else[1.0]
