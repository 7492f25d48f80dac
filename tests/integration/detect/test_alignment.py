"""Alignment looks at a part of the picture only, and gives what insightface gives for the whole."""

from __future__ import annotations

import numpy as np
import pytest
from insightface.utils import face_align
from overt.testing import faces
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Landmarks, Region
from overt_detect.ports import Picture

pytestmark = pytest.mark.integration


def _wanted(picture: Picture, landmarks: Landmarks) -> Picture:
    return np.asarray(face_align.norm_crop(picture, landmarks, image_size=112), np.uint8)


def _differ(a: Picture, b: Picture) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_each_of_six_people_is_aligned_as_insightface_does(engine: OnnxEngine) -> None:
    pixels = BgrPixels(faces.group())
    found = engine.find(pixels, Region.whole(pixels.width, pixels.height), 1.0)
    assert len(found) == 6
    for face in found:
        assert _differ(engine.align(pixels, face.landmarks), _wanted(faces.group(), face.landmarks)) <= 1


def test_so_is_a_face_anywhere_at_any_size_and_turn(engine: OnnxEngine) -> None:
    picture = faces.group()
    pixels = BgrPixels(picture)
    random = np.random.default_rng(5)
    shape = face_align.arcface_dst - face_align.arcface_dst.mean(axis=0)
    for _ in range(60):
        angle, size = random.uniform(-np.pi, np.pi), random.uniform(0.05, 4)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = random.uniform((-50, -50), (1330, 936))
        landmarks = np.asarray(shape @ turn.T * size + centre + random.normal(0, size, (5, 2)), np.float32)
        aligned = engine.align(pixels, landmarks)
        # One step of grey: the warp rounds places to 1/32 of a pixel.
        differences = np.abs(aligned.astype(int) - _wanted(picture, landmarks))
        assert np.mean(differences > 2) < 0.005, (landmarks, differences.max())


class _Counted(BgrPixels):
    most = 0

    def part(self, left: int, top: int, right: int, bottom: int) -> Picture:
        assert left >= 0
        assert top >= 0
        assert right <= self.width
        assert bottom <= self.height
        self.most = max(self.most, (right - left) * (bottom - top))
        return super().part(left, top, right, bottom)


def test_little_more_than_the_face_is_looked_at(engine: OnnxEngine) -> None:
    pixels = _Counted(faces.group())
    face = max(engine.find(pixels, Region.whole(pixels.width, pixels.height), 1.0), key=lambda f: f.box.longer_side)
    engine.align(pixels, face.landmarks)
    assert 0 < pixels.most < 3 * face.box.longer_side**2
    pixels.most = 0
    engine.level(pixels, face)
    assert pixels.most < 8 * face.box.longer_side**2


@pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((5, 2)),
        np.full((5, 2), 1e7),
        face_align.arcface_dst + 5000,
        face_align.arcface_dst * 1e-4,
        face_align.arcface_dst * 1e6,
    ],
    ids=["one place", "far place", "outside", "tiny", "huge"],
)
def test_landmarks_of_no_face_do_no_harm(engine: OnnxEngine, landmarks: Landmarks) -> None:
    aligned = engine.align(BgrPixels(faces.group()), landmarks.astype(np.float32))
    assert aligned.shape == (112, 112, 3)
    assert np.isfinite(engine.template(aligned)).all()
