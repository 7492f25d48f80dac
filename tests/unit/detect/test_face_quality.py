"""Pose, light, acceptance and rank, on heads and patterns made of numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from overt.reasons import Reason
from overt_detect.domain.acceptance import REFERENCE, SHOT
from overt_detect.domain.geometry import Landmarks
from overt_detect.domain.quality import Pose, Quality, light, pose, rank

pytestmark = pytest.mark.unit

GOOD = Quality(size_px=120, sharpness=80, brightness=120, pose=Pose(0, 0, 0), detector_score=0.93)


def _head(yaw: float = 0, pitch: float = 0, roll: float = 0, eyes_apart: float = 40) -> Landmarks:
    """Five points of a mean head, turned and projected: x to the right, y down, z to the viewer."""
    points = np.array([[-0.5, -0.55, 0], [0.5, -0.55, 0], [0, 0, 0.5], [-0.4, 0.45, 0], [0.4, 0.45, 0]])
    y, p, r = (math.radians(v) for v in (yaw, pitch, roll))
    turned = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    nodded = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    tilted = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    seen = (tilted @ nodded @ turned @ points.T).T[:, :2] * eyes_apart + 200
    return np.asarray(seen, np.float32)


@pytest.mark.parametrize(
    "given", [(0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 40), (25, 10, -30), (50, 0, 10)]
)
def test_pose_is_read_from_the_landmarks(given: tuple[float, float, float]) -> None:
    found = pose(_head(*given))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx(given, abs=8)


def test_pose_does_not_depend_on_where_or_how_large_the_face_is() -> None:
    assert pose(_head(20, 5, 10, eyes_apart=12)).yaw == pytest.approx(pose(_head(20, 5, 10)).yaw, abs=0.5)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.ones((5, 2)) * 7, _head()[::-1]])
def test_landmarks_that_are_no_face_have_no_usable_pose(points: Landmarks) -> None:
    found = pose(np.asarray(points, np.float32))
    assert SHOT.refusal(replace(GOOD, pose=found)) is Reason.EXTREME_POSE


def test_light_is_that_of_the_middle() -> None:
    face = np.full((112, 112, 3), 90, np.uint8)
    face[:20] = np.random.default_rng(1).integers(0, 256, (20, 112, 3))
    sharpness, brightness = light(face)
    assert sharpness == pytest.approx(0, abs=1e-3)
    assert brightness == pytest.approx(90, abs=0.1)


def test_sharpness_falls_with_blur() -> None:
    sharp = np.random.default_rng(1).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    blurred = np.mean([np.roll(sharp, (dx, dy), (0, 1)) for dx in range(3) for dy in range(3)], axis=0)
    assert light(blurred.astype(np.uint8))[0] < light(sharp)[0] / 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"size_px": 35}, Reason.TOO_SMALL),
        ({"detector_score": 0.6}, Reason.LOW_CONFIDENCE),
        ({"pose": Pose(60, 0, 0)}, Reason.EXTREME_POSE),
        ({"pose": Pose(0, -40, 0)}, Reason.EXTREME_POSE),
        ({"pose": Pose(0, 0, 80)}, Reason.EXTREME_POSE),
        ({"brightness": 15}, Reason.TOO_DARK),
        ({"brightness": 240}, Reason.TOO_BRIGHT),
        ({"sharpness": 3}, Reason.BLURRED),
        ({"size_px": 10, "brightness": 5, "sharpness": 0}, Reason.TOO_SMALL),
    ],
)
def test_a_face_is_refused_with_the_reason(change: dict[str, object], reason: Reason | None) -> None:
    assert SHOT.refusal(replace(GOOD, **change)) is reason  # type: ignore[arg-type]


def test_a_reference_must_be_better_than_a_shot() -> None:
    for field in ("smallest_px", "smallest_score", "least_sharpness", "darkest"):
        assert getattr(REFERENCE, field) >= getattr(SHOT, field)
    for field in ("largest_yaw", "largest_pitch", "largest_roll", "brightest"):
        assert getattr(REFERENCE, field) <= getattr(SHOT, field)


def test_a_better_face_ranks_higher() -> None:
    best = rank(GOOD)
    assert 0 < best <= 1
    for worse in (
        replace(GOOD, size_px=50),
        replace(GOOD, sharpness=10),
        replace(GOOD, pose=Pose(35, 0, 0)),
        replace(GOOD, pose=Pose(0, 30, 0)),
        replace(GOOD, detector_score=0.75),
    ):
        assert rank(worse) < best
    assert rank(replace(GOOD, pose=Pose(90, 90, 0))) == pytest.approx(0)
