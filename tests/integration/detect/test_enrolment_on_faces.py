"""Enrolment with the real engine: exactly one usable face, or the reason."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from overt.errors import Rejected
from overt.reasons import Reason
from overt.testing import faces
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.pictures import decode_jpeg, encode_reference
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.acceptance import REFERENCE
from overt_detect.domain.geometry import Region
from overt_detect.enrolling import Enrolment
from overt_detect.ports import Picture

pytestmark = pytest.mark.integration


@pytest.fixture
def enrolment(engine: OnnxEngine) -> Enrolment:
    return Enrolment(engine=engine, acceptance=REFERENCE, as_pixels=BgrPixels)


def _scaled(picture: Picture, factor: float) -> Picture:
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _blurred(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 6), np.uint8)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (faces.nobody(), Reason.NO_FACE),
        (faces.group(), Reason.SEVERAL_FACES),
        (faces.people()["group5"], Reason.EXTREME_POSE),
        (_scaled(faces.people()["group1"], 0.3), Reason.TOO_SMALL),
        (_blurred(faces.people()["group1"]), Reason.BLURRED),
        (faces.people()["group1"] // 12, Reason.TOO_DARK),
        (255 - (255 - faces.people()["astronaut"]) // 8, Reason.TOO_BRIGHT),
    ],
    ids=["nobody", "six people", "looks away", "small", "blurred", "dark", "bright"],
)
def test_what_cannot_serve_is_refused(enrolment: Enrolment, picture: Picture, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        enrolment.enrol(np.ascontiguousarray(picture, np.uint8))
    assert refused.value.reason is reason


@pytest.mark.parametrize("name", ["group1", "group2", "group3", "group4", "group6", "actor", "astronaut"])
def test_one_good_face_is_enrolled(enrolment: Enrolment, engine: OnnxEngine, name: str) -> None:
    reference = enrolment.enrol(faces.people()[name])
    shown = decode_jpeg(encode_reference(reference.crop))
    assert max(shown.shape) <= 320
    pixels = BgrPixels(shown)
    (face,) = engine.find(pixels, Region.whole(pixels.width, pixels.height), 1.0)
    again = engine.template(engine.align(pixels, engine.level(pixels, face).landmarks))
    assert again @ reference.template > 0.85, "people compare with the face that was enrolled"


@pytest.mark.parametrize("factor", [1, 3, 8])
def test_size_does_not_matter(enrolment: Enrolment, factor: float) -> None:
    picture = faces.people()["astronaut"]
    large = enrolment.enrol(_scaled(picture, factor))
    assert large.template @ enrolment.enrol(picture).template > 0.9


def test_a_crop_without_any_rim_is_enrolled(enrolment: Enrolment) -> None:
    whole = enrolment.enrol(faces.people()["astronaut"])
    tight = faces.cut_out(faces.astronaut(), (178, 63, 90, 114), margin=0)
    assert enrolment.enrol(_scaled(tight, 2)).template @ whole.template > 0.7


def test_a_bystander_in_the_background_does_no_harm(enrolment: Enrolment) -> None:
    scene = np.array(_scaled(faces.nobody(), 3), np.uint8)
    one = faces.people()["group3"]
    scene[100 : 100 + one.shape[0], 30 : 30 + one.shape[1]] = one
    alone = enrolment.enrol(scene).template
    other = _scaled(faces.people()["group6"], 0.4)
    scene[20 : 20 + other.shape[0], 350 : 350 + other.shape[1]] = other
    assert enrolment.enrol(scene).template @ alone > 0.99


def test_a_heavily_compressed_picture_is_enrolled(enrolment: Enrolment) -> None:
    picture = faces.people()["group4"]
    poor = decode_jpeg(simplejpeg.encode_jpeg(picture, 25, "BGR", "420"))
    assert enrolment.enrol(poor).template @ enrolment.enrol(picture).template > 0.6
