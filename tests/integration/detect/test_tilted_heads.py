"""Heads that lean are recognised, upright ones are left alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from overt.testing import faces
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Face, Region
from overt_detect.domain.quality import pose
from overt_detect.ports import Picture, Template

pytestmark = pytest.mark.integration


def _turned(picture: Picture, degrees: float) -> Picture:
    """On a wide rim of its own edge, so that nothing is cut off."""
    rim = cv2.copyMakeBorder(picture, 120, 120, 120, 120, cv2.BORDER_REPLICATE)
    height, width = rim.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(rim, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _find(engine: OnnxEngine, picture: Picture) -> list[Face]:
    pixels = BgrPixels(picture)
    return engine.find(pixels, Region.whole(pixels.width, pixels.height), min(1.0, 960 / max(picture.shape)))


def _level(engine: OnnxEngine, picture: Picture, face: Face) -> Face:
    return engine.level(BgrPixels(picture), face)


def _template(engine: OnnxEngine, picture: Picture, face: Face) -> Template:
    return engine.template(engine.align(BgrPixels(picture), face.landmarks))


@pytest.mark.parametrize("degrees", [-45, -30, -20, -15, -10, 0, 10, 15, 20, 30, 45])
def test_a_leaning_head_is_the_same_person(engine: OnnxEngine, degrees: float) -> None:
    # Those who hold their heads straight in the package's picture, so that the turn is all there is.
    for name in ("group4", "astronaut"):
        straight, leaning = _turned(faces.people()[name], 0), _turned(faces.people()[name], degrees)
        upright, face = _find(engine, straight)[0], _find(engine, leaning)[0]
        reference = _template(engine, straight, _level(engine, straight, upright))
        level = _level(engine, leaning, face)
        before, after = (reference @ _template(engine, leaning, f) for f in (face, level))
        assert after > 0.85, (name, before, after)
        assert after >= before - 0.05, (name, before, after)
        if abs(degrees) >= 20:
            assert abs(pose(level.landmarks).roll + degrees) < 15, "it reads the tilt that the landmarks hide"


def test_an_upright_face_stays_where_it_is(engine: OnnxEngine) -> None:
    for name in ("group4", "astronaut"):
        picture = faces.people()[name]
        face = _find(engine, picture)[0]
        level = _level(engine, picture, face)
        assert (level.box, level.score) == (face.box, face.score)
        assert np.abs(level.landmarks - face.landmarks).max() < 0.08 * face.box.longer_side
        assert abs(pose(level.landmarks).roll) < 8


def test_landmarks_do_not_depend_on_how_small_the_face_was_when_found(engine: OnnxEngine) -> None:
    picture = faces.group()
    pixels, whole = BgrPixels(picture), Region.whole(picture.shape[1], picture.shape[0])
    large, small = (sorted(engine.find(pixels, whole, scale), key=lambda f: f.box.x) for scale in (1.0, 0.25))
    assert len(large) == len(small) == 6
    before, after = [], []
    for a, b in zip(large, small, strict=True):
        size = a.box.longer_side
        before.append(np.abs(a.landmarks - b.landmarks).mean() / size)
        after.append(np.abs(_level(engine, picture, a).landmarks - _level(engine, picture, b).landmarks).mean() / size)
    assert np.mean(after) < 0.5 * np.mean(before)


def test_a_neighbour_is_not_taken_for_the_face(engine: OnnxEngine) -> None:
    left, right = (cv2.resize(faces.people()[name], (150, 200)) for name in ("group3", "group4"))
    picture = np.ascontiguousarray(np.hstack((left, right)))
    found = sorted(_find(engine, picture), key=lambda f: f.box.x)
    assert len(found) == 2
    for face in found:
        level = _level(engine, picture, face)
        assert np.abs(level.landmarks - face.landmarks).max() < 0.15 * face.box.longer_side


def test_a_face_at_the_edge_and_a_face_that_is_none_do_no_harm(engine: OnnxEngine) -> None:
    picture = faces.group()
    face = _find(engine, picture)[0]
    cut = np.ascontiguousarray(picture[:, int(face.box.x + face.box.width / 2) :])
    for found in _find(engine, cut):
        _level(engine, cut, found)
    black = np.zeros((200, 200, 3), np.uint8)
    assert _level(engine, black, face) is face


@pytest.mark.data
def test_two_people_who_lean_their_heads_are_recognised_in_every_frame(engine: OnnxEngine, shared_data: Path) -> None:
    references = {}
    for name, number in (("female", 10), ("male", 20)):
        picture = _frame(shared_data / "clips" / f"headpose_{name}.gif", number)
        references[name] = _template(engine, picture, _find(engine, picture)[0])
    for number in range(0, 56, 5):
        picture = _frame(shared_data / "clips" / "headpose_female_and_male.gif", number)
        for face in _find(engine, picture):
            name, other = ("female", "male") if face.box.x < 200 else ("male", "female")
            template = _template(engine, picture, _level(engine, picture, face))
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
