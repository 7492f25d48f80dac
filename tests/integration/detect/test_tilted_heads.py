"""Heads that lean are recognised, upright ones are left alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from overt.testing import faces
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.domain.geometry import Face
from overt_detect.domain.quality import pose
from overt_detect.ports import Picture, Template

pytestmark = pytest.mark.integration


def _turned(picture: Picture, degrees: float) -> Picture:
    """On a wide rim of its own edge, so that nothing is cut off."""
    rim = cv2.copyMakeBorder(picture, 120, 120, 120, 120, cv2.BORDER_REPLICATE)
    height, width = rim.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(rim, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _template(engine: OnnxEngine, picture: Picture, face: Face) -> Template:
    return engine.template(engine.align(picture, face.landmarks))


@pytest.mark.parametrize("degrees", [-45, -30, -15, 0, 15, 30, 45])
def test_a_leaning_head_is_the_same_person(engine: OnnxEngine, degrees: float) -> None:
    # Those who hold their heads straight in the package's picture, so that the turn is all there is.
    for name in ("group3", "group4", "astronaut"):
        picture = faces.people()[name]
        (upright,) = engine.find(_turned(picture, 0), width=960)
        reference = _template(engine, _turned(picture, 0), upright)
        leaning = _turned(picture, degrees)
        face = engine.find(leaning, width=960)[0]
        level = engine.level(leaning, face)
        before, after = (reference @ _template(engine, leaning, f) for f in (face, level))
        assert after > 0.65, (name, before, after)
        assert after >= before - 0.05, (name, before, after)
        if abs(degrees) == 45:
            assert abs(pose(level.landmarks).roll + degrees) < 25, "it reads the tilt that the landmarks hide"


def test_an_upright_face_is_left_alone(engine: OnnxEngine) -> None:
    for name in ("group3", "group4", "astronaut"):
        picture = faces.people()[name]
        face = engine.find(picture, width=960)[0]
        assert engine.level(picture, face) is face


def test_a_face_at_the_edge_and_a_face_that_is_none_do_no_harm(engine: OnnxEngine) -> None:
    picture = faces.group()
    face = engine.find(picture, width=960)[0]
    cut = np.ascontiguousarray(picture[:, int(face.box.x + face.box.width / 2) :])
    for found in engine.find(cut, width=960):
        engine.level(cut, found)
    black = np.zeros((200, 200, 3), np.uint8)
    assert engine.level(black, face) is face


@pytest.mark.data
def test_two_people_who_lean_their_heads_are_recognised_in_every_frame(engine: OnnxEngine, shared_data: Path) -> None:
    references = {}
    for name, number in (("female", 10), ("male", 20)):
        picture = _frame(shared_data / "clips" / f"headpose_{name}.gif", number)
        references[name] = _template(engine, picture, engine.find(picture, width=960)[0])
    for number in range(0, 56, 5):
        picture = _frame(shared_data / "clips" / "headpose_female_and_male.gif", number)
        for face in engine.find(picture, width=960):
            name, other = ("female", "male") if face.box.x < 200 else ("male", "female")
            template = _template(engine, picture, engine.level(picture, face))
            assert references[name] @ template > 0.5, (number, name)
            assert references[other] @ template < 0.3, (number, name)


def _frame(clip: Path, number: int) -> Picture:
    capture = cv2.VideoCapture(str(clip))
    try:
        for _ in range(number + 1):
            there, picture = capture.read()
            assert there
        return np.asarray(picture, np.uint8)
    finally:
        capture.release()
