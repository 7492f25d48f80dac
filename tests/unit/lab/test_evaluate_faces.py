"""Which face of a picture is measured, and through which steps of detect's engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from overt.errors import Fatal
from overt_detect.domain.geometry import Box, Face, Landmarks, Region
from overt_detect.ports import Picture, Pixels, Template
from overt_lab.evaluate.faces import Enroller, Ran, read_picture
from overt_lab.evaluate.templates import Mirrored

pytestmark = pytest.mark.unit


def _face(x: float, y: float, score: float = 0.9, side: float = 40) -> Face:
    return Face(Box(x - side / 2, y - side / 2, side, side), np.zeros((5, 2), np.float32), score)


class Recorder:
    """An engine that finds what it is told to, and writes down what it is asked for. Its template has the centre of
    the face it was made of."""

    engine, provider, precision, sure_px = "recorder", "CPU", "f32", 20.0

    def __init__(self, *found: list[Face]) -> None:
        self._found = list(found)
        self.searched: list[tuple[int, int, Region, float]] = []
        self.levelled = 0

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        self.searched.append((pixels.width, pixels.height, region, scale))
        faces = self._found.pop(0)
        return [replace(face, landmarks=np.full((5, 2), face.box.centre, np.float32)) for face in faces]

    def level(self, pixels: Pixels, face: Face) -> Face:
        self.levelled += 1
        return replace(face, landmarks=face.landmarks + 1000)

    def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
        return np.full((112, 112, 3), 1, np.uint8) * landmarks[0, 0].astype(np.uint16).astype(np.uint8)

    def template(self, aligned: Picture) -> Template:
        return np.array([aligned[0, 0, 0]], np.float32)


def _shot(engine: Recorder, picture: Picture, *, levelled: bool = False) -> Template | None:
    ran = Ran("recorder", "CPU", "f32", "open", "d")
    made = Enroller(engine, ran, length=1, levelled=levelled, mirrored=Mirrored.NONE).made(picture)
    return made and made.shot


def test_a_mirrored_template_is_the_mean_of_both_at_unit_length() -> None:
    class Halves(Recorder):
        """The template is the brightness of the left and of the right half."""

        def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
            aligned = np.zeros((112, 112, 3), np.uint8)
            aligned[:, :56] = 30
            aligned[:, 56:] = 10
            return aligned

        def template(self, aligned: Picture) -> Template:
            assert aligned.flags.c_contiguous
            halves = np.array([aligned[:, :56].mean(), aligned[:, 56:].mean()], np.float32)
            return np.asarray(halves / np.linalg.norm(halves), np.float32)

    as_it_is, mean = [3 / 10**0.5, 1 / 10**0.5], [0.5**0.5] * 2
    shots = {Mirrored.NONE: as_it_is, Mirrored.REFERENCES: as_it_is, Mirrored.BOTH: mean}
    references = {Mirrored.NONE: as_it_is, Mirrored.REFERENCES: mean, Mirrored.BOTH: mean}
    for mirrored in Mirrored:
        ran = Ran("recorder", "CPU", "f32", "open", "d")
        engine = Halves([_face(110, 95)])
        made = Enroller(engine, ran, length=2, levelled=False, mirrored=mirrored).made(_picture(250, 200))
        assert made is not None
        assert made.shot == pytest.approx(shots[mirrored])
        assert made.reference == pytest.approx(references[mirrored])


def _picture(width: int, height: int) -> Picture:
    return np.zeros((height, width, 3), np.uint8)


def test_the_face_nearest_the_centre_is_taken_not_the_surest_or_largest() -> None:
    engine = Recorder([_face(30, 30, 0.99), _face(110, 95, 0.51), _face(200, 100, 0.95, side=180)])
    assert _shot(engine, _picture(250, 200)) == pytest.approx([110])
    assert engine.searched == [(250, 200, Region(0, 0, 250, 200), 1.0)]
    assert engine.levelled == 0


def test_large_pictures_are_searched_smaller() -> None:
    engine = Recorder([_face(110, 95)])
    _shot(engine, _picture(1920, 1080))
    assert engine.searched == [(1920, 1080, Region(0, 0, 1920, 1080), 0.5)]


def test_landmarks_are_levelled_as_the_product_does() -> None:
    engine = Recorder([_face(110, 95)])
    template = _shot(engine, _picture(250, 200), levelled=True)
    assert engine.levelled == 1
    assert template == pytest.approx([(110 + 1000) % 256])


def test_a_picture_without_a_face_is_searched_again_with_a_rim() -> None:
    """Its face is then measured in the picture with the rim, whose centre is the same."""
    engine = Recorder([], [_face(20, 20), _face(200, 120)])
    assert _shot(engine, _picture(200, 100)) == pytest.approx([200])
    assert [seen[:2] for seen in engine.searched] == [(200, 100), (400, 300)]


def test_no_face_at_all_is_a_failure_to_enrol() -> None:
    assert _shot(Recorder([], []), _picture(200, 100)) is None


def test_pictures_are_read_as_references_are(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), _picture(80, 64) + 7)
    read = read_picture(tmp_path / "a.png")
    assert read is not None
    assert read.shape == (64, 80, 3)
    assert read.max() == read.min() == 7
    for content in (b"", b"GIF89a", (tmp_path / "a.png").read_bytes()[:60]):
        (tmp_path / "bad.png").write_bytes(content)
        assert read_picture(tmp_path / "bad.png") is None


def test_a_file_that_cannot_be_read_stops_the_work(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"gone\.png cannot be read: No such file"):
        read_picture(tmp_path / "gone.png")
