"""The engine on real faces: finds what OpenCV finds, tells people apart, keeps nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from overt.errors import Fatal
from overt.models import PreparedPack
from overt.testing import faces
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.yunet import YuNet
from overt_detect.ports import Picture, Template

pytestmark = pytest.mark.integration


def _opencv(prepared: PreparedPack, picture: Picture, score: float) -> np.ndarray:
    height, width = picture.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(prepared.detector), "", (width, height), score, 0.3, 5000)
    found = detector.detect(picture)[1]
    return np.zeros((0, 15), np.float32) if found is None else found


def _resized(picture: Picture, longer: int) -> Picture:
    scale = longer / max(picture.shape[:2])
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        faces.astronaut(),
        faces.actor(),
        _resized(faces.group(), 960),
        _resized(faces.group(), 333),
        faces.nobody(),
        # Crowded and faint, so that many weak and overlapping answers have to be suppressed alike.
        np.asarray(np.tile(_resized(faces.group(), 300), (3, 3, 1)) // 2 + 60, np.uint8),
    ],
    ids=["astronaut", "actor", "group", "small group", "nobody", "crowd"],
)
@pytest.mark.parametrize("score", [0.3, 0.6, 0.9])
def test_finds_what_opencv_finds(prepared: PreparedPack, engine: OnnxEngine, picture: Picture, score: float) -> None:
    ours = YuNet(engine._detector._session, smallest_score=score).find(picture, width=4096)
    theirs = _opencv(prepared, picture, score)
    assert len(ours) == len(theirs)
    for face, row in zip(ours, theirs, strict=True):
        box = face.box
        assert np.allclose([box.x, box.y, box.width, box.height], row[:4], atol=1)
        assert np.allclose(face.landmarks.reshape(-1), row[4:14], atol=1)
        assert face.score == pytest.approx(float(row[14]), abs=1e-3)


def test_finds_the_six_people_of_a_group_at_half_and_full_width(engine: OnnxEngine) -> None:
    group = faces.group()
    wide = engine.find(group, width=4096)
    narrow = engine.find(group, width=640)
    assert len(wide) == len(narrow) == 6
    for face in narrow:
        nearest = min(wide, key=lambda f: abs(f.box.x - face.box.x))
        assert face.box.centre == pytest.approx(nearest.box.centre, abs=10), "in the picture's own pixels"
    assert engine.find(faces.nobody(), width=960) == []


def _template(engine: OnnxEngine, picture: Picture) -> Template:
    (face,) = (f for f in engine.find(picture, width=960) if f.score > 0.7)
    return engine.template(engine.align(picture, face.landmarks))


@pytest.fixture(scope="module")
def templates(engine: OnnxEngine) -> dict[str, Template]:
    return {name: _template(engine, picture) for name, picture in faces.people().items()}


def test_a_template_is_a_unit_vector_and_always_the_same(engine: OnnxEngine, templates: dict[str, Template]) -> None:
    for template in templates.values():
        assert template.shape == (128,)
        assert template.dtype == np.float32
        assert np.linalg.norm(template) == pytest.approx(1, abs=1e-6)
    again = _template(engine, faces.people()["astronaut"])
    assert np.array_equal(again, templates["astronaut"])


def test_eight_different_people_are_far_apart(templates: dict[str, Template]) -> None:
    every = np.stack(list(templates.values()))
    scores = every @ every.T - np.eye(len(every))
    assert scores.max() < 0.35


def _rendered(picture: Picture, how: str) -> Picture:
    if how == "smaller":
        return _resized(picture, max(picture.shape) // 2)
    if how == "larger":
        return _resized(picture, max(picture.shape) * 2)
    if how == "darker":
        return np.asarray(picture * 0.45, np.uint8)
    if how == "brighter":
        return np.asarray(np.clip(picture * 1.2, 0, 255), np.uint8)
    if how == "compressed":
        return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(picture, 30, "BGR", "420"), "BGR")
    assert how == "blurred"
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


@pytest.mark.parametrize("how", ["smaller", "larger", "darker", "brighter", "compressed", "blurred"])
def test_the_same_person_stays_close_under_other_scale_light_and_compression(
    engine: OnnxEngine, templates: dict[str, Template], how: str
) -> None:
    for name, picture in faces.people().items():
        if name == "actor" and how == "smaller":
            continue  # 112 pixels, the face fills them: half of that is below every bound
        probe = _template(engine, _rendered(picture, how))
        scores = {other: float(probe @ template) for other, template in templates.items()}
        assert scores.pop(name) > 0.6, (name, how)
        assert max(scores.values()) < 0.35, (name, how)


def test_the_colours_are_not_swapped(engine: OnnxEngine, templates: dict[str, Template]) -> None:
    # Fed the wrong way round, templates still look alike, only worse: so the graph itself is asked.
    picture = faces.people()["group1"]
    (face,) = engine.find(picture, width=960)
    aligned = engine.align(picture, face.landmarks)
    blob = np.ascontiguousarray(aligned[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
    session = engine._recogniser._model.session
    right = session.run(None, {session.get_inputs()[0].name: blob})[0][0]
    wrong = session.run(None, {session.get_inputs()[0].name: blob[:, ::-1]})[0][0]
    ours = templates["group1"]
    assert ours @ (right / np.linalg.norm(right)) > 0.999999
    assert ours @ (wrong / np.linalg.norm(wrong)) < 0.95


def test_every_thread_may_use_it_at_once(engine: OnnxEngine, templates: dict[str, Template]) -> None:
    people = faces.people()
    names = list(people) * 4
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda name: _template(engine, people[name]), names))
    for name, template in zip(names, found, strict=True):
        assert np.array_equal(template, templates[name]), name


def test_a_provider_that_is_not_here_is_fatal(prepared: PreparedPack) -> None:
    with pytest.raises(Fatal, match=r"OVERT_EXECUTION_PROVIDER: there is no NoSuchProvider here, only .*CPU"):
        OnnxEngine(prepared, provider="NoSuchProvider", threads=1, smallest_score=0.5)


def test_loading_writes_nothing_at_home_and_asks_nobody(tmp_path: Path, prepared: PreparedPack) -> None:
    code = f"""
import socket, sys
from pathlib import Path
def refuse(*args, **kwargs): raise AssertionError("somebody was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from overt.models import ensure
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.bytetrack import ByteTrack
pack = ensure("open", Path({str(prepared.folder.parent)!r}))
OnnxEngine(pack, provider="CPUExecutionProvider", threads=1, smallest_score=.5).warm(width=320)
ByteTrack()
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert list(home.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
