"""The use case Enrol, with scripted faces."""

from __future__ import annotations

import numpy as np
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.acceptance import REFERENCE
from overt_detect.domain.geometry import Box, Face, Landmarks, Region
from overt_detect.enrolling import Enrolment
from overt_detect.ports import Picture, Pixels, Template

pytestmark = pytest.mark.unit

_LANDMARKS = np.array([[38, 52], [74, 52], [56, 72], [42, 88], [70, 88]], np.float32)
_TEXTURE = np.random.default_rng(3).integers(60, 200, (112, 112, 3)).astype(np.uint8)


def _face(x: float = 100, size: float = 100, score: float = 0.9, points: Landmarks = _LANDMARKS) -> Face:
    return Face(Box(x, 80, size * 0.8, size), points, score)


class _Engine:
    sure_px = 20.0

    def __init__(self, *faces: Face, found_from: int = 0, aligned: Picture = _TEXTURE) -> None:
        self._faces, self._found_from, self._aligned = list(faces), found_from, aligned
        self.asked: list[tuple[int, int]] = []
        self.levelled: Face | None = None

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        assert region == Region.whole(pixels.width, pixels.height)
        self.asked.append((pixels.width, round(scale * max(pixels.width, pixels.height))))
        return self._faces if len(self.asked) > self._found_from else []

    def level(self, pixels: Pixels, face: Face) -> Face:
        return self.levelled or face

    def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
        return self._aligned

    def template(self, aligned: Picture) -> Template:
        """Of the left half and of the right."""
        assert aligned.flags.c_contiguous
        halves = np.array([aligned[:, :56].mean(), aligned[:, 56:].mean()], np.float32)
        return np.asarray(halves / np.linalg.norm(halves), np.float32)


def _enrol(engine: _Engine) -> Picture:
    enrolment = Enrolment(engine=engine, acceptance=REFERENCE, as_pixels=BgrPixels)
    return enrolment.enrol(np.zeros((400, 300, 3), np.uint8)).crop


def test_a_reference_is_as_much_the_face_as_its_mirror_image() -> None:
    lit_from_the_left = _TEXTURE.copy()
    lit_from_the_left[:, 56:] //= 2
    templates = [
        Enrolment(
            engine=_Engine(_face(), aligned=np.ascontiguousarray(aligned)), acceptance=REFERENCE, as_pixels=BgrPixels
        )
        .enrol(np.zeros((400, 300, 3), np.uint8))
        .template
        for aligned in (lit_from_the_left, lit_from_the_left[:, ::-1])
    ]
    assert templates[0] == pytest.approx([0.5**0.5] * 2)
    assert templates[1] == pytest.approx(templates[0])


def test_one_good_face_is_enrolled_with_a_margin() -> None:
    assert _enrol(_Engine(_face())).shape == (180, 144, 3)


@pytest.mark.parametrize(
    ("faces", "aligned", "reason"),
    [
        ([], _TEXTURE, Reason.NO_FACE),
        ([_face(), _face(x=200, size=60)], _TEXTURE, Reason.SEVERAL_FACES),
        ([_face(size=40)], _TEXTURE, Reason.TOO_SMALL),
        ([_face(score=0.6)], _TEXTURE, Reason.LOW_CONFIDENCE),
        ([_face(points=_LANDMARKS + np.float32([[0, 0], [0, 0], [25, 0], [0, 0], [0, 0]]))], _TEXTURE,
         Reason.EXTREME_POSE),
        ([_face()], np.full((112, 112, 3), 120, np.uint8), Reason.BLURRED),
        ([_face()], _TEXTURE // 16, Reason.TOO_DARK),
        ([_face()], 255 - _TEXTURE // 10, Reason.TOO_BRIGHT),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_refused(faces: list[Face], aligned: Picture, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        _enrol(_Engine(*faces, aligned=aligned))
    assert refused.value.reason is reason


def test_small_or_doubtful_faces_behind_the_one_meant_do_no_harm() -> None:
    _enrol(_Engine(_face(x=200, size=49), _face(), _face(x=20, size=90, score=0.6)))


def test_a_face_that_fills_the_picture_is_looked_for_smaller_and_with_a_rim() -> None:
    engine = _Engine(_face(), found_from=3)
    _enrol(engine)
    assert engine.asked == [(300, 400), (300, 320), (700, 800), (700, 320)], "never larger than it is"
