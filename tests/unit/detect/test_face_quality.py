"""Pose, light, acceptance and rank, on heads and patterns made of numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from overt.reasons import Reason
from overt_detect.domain.acceptance import REFERENCE, SHOT
from overt_detect.domain.geometry import Box, Face, Landmarks
from overt_detect.domain.quality import Light, Pose, Quality, assess, certainty, geometry, light, pose, rank

pytestmark = pytest.mark.unit

GOOD = Quality(size_px=120, pose=Pose(0, 0, 0), detector_score=0.93, certainty=0.93, light=Light(80, 120))


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
    found = light(face)
    assert found.sharpness == pytest.approx(0, abs=1e-3)
    assert found.brightness == pytest.approx(90, abs=0.1)


def test_sharpness_falls_with_blur() -> None:
    sharp = np.random.default_rng(1).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    blurred = np.mean([np.roll(sharp, (dx, dy), (0, 1)) for dx in range(3) for dy in range(3)], axis=0)
    assert light(blurred.astype(np.uint8)).sharpness < light(sharp).sharpness / 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"light": None}, None),
        ({"size_px": 39}, Reason.TOO_SMALL),
        ({"certainty": 0.8}, Reason.LOW_CONFIDENCE),
        ({"pose": Pose(60, 0, 0)}, Reason.EXTREME_POSE),
        ({"pose": Pose(0, -40, 0)}, Reason.EXTREME_POSE),
        ({"pose": Pose(0, 0, 80)}, Reason.EXTREME_POSE),
        ({"light": Light(80, 15)}, Reason.TOO_DARK),
        ({"light": Light(80, 240)}, Reason.TOO_BRIGHT),
        ({"light": Light(3, 120)}, Reason.BLURRED),
        ({"size_px": 10, "light": Light(0, 5)}, Reason.TOO_SMALL),
    ],
)
def test_a_face_is_refused_with_the_reason(change: dict[str, object], reason: Reason | None) -> None:
    assert SHOT.refusal(replace(GOOD, **change)) is reason  # type: ignore[arg-type]


def test_a_reference_must_be_better_than_a_shot() -> None:
    for field in ("smallest_px", "least_certainty", "least_sharpness", "darkest"):
        assert getattr(REFERENCE, field) >= getattr(SHOT, field)
    for field in ("largest_yaw", "largest_pitch", "largest_roll", "brightest"):
        assert getattr(REFERENCE, field) <= getattr(SHOT, field)


def test_a_better_face_ranks_higher() -> None:
    best = rank(GOOD)
    assert 0 < best <= 1
    for worse in (
        replace(GOOD, size_px=50),
        replace(GOOD, light=Light(10, 120)),
        replace(GOOD, light=Light(80, 25)),
        replace(GOOD, light=Light(80, 215)),
        replace(GOOD, pose=Pose(35, 0, 0)),
        replace(GOOD, pose=Pose(0, 20, 0)),
        replace(GOOD, certainty=0.85),
    ):
        assert rank(worse) < best
    assert rank(replace(GOOD, pose=Pose(90, 90, 0))) == pytest.approx(0)


def test_what_nobody_has_looked_at_ranks_as_high_as_it_may_turn_out() -> None:
    unseen = rank(replace(GOOD, light=None))
    for found in (Light(0, 0), Light(5, 120), Light(500, 20), Light(500, 250), Light(60, 130)):
        assert rank(replace(GOOD, light=found)) <= unseen


def test_quality_is_what_geometry_and_light_say() -> None:
    face = Face(Box(0, 0, 80, 100), _head(20), 0.9)
    aligned = np.random.default_rng(1).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    assert geometry(face) == Quality(100, pose(face.landmarks), 0.9, 0.9)
    assert assess(face, aligned) == geometry(face).lit(light(aligned))


def test_a_small_face_is_surer_than_the_detector_says() -> None:
    assert certainty(0.9, 1.5) == certainty(0.9, 9) == 0.9
    assert certainty(0.82, 1.0) == pytest.approx(0.92)
    scores = [certainty(0.7, seen) for seen in (0.8, 1.0, 1.25, 1.5)]
    assert scores == sorted(scores, reverse=True)
    assert certainty(0.95, 0.5) == 1.0
