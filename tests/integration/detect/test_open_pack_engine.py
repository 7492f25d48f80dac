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
from overt.models import PreparedPack, Task
from overt.testing import faces
from overt_detect.adapters.blobs import blob
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.graphs import Runtime
from overt_detect.adapters.graphs.onnx_runtime import OnnxRuntime
from overt_detect.adapters.graphs.open_vino import OpenVino
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.adapters.yunet import YuNet
from overt_detect.domain.geometry import Face, Region
from overt_detect.ports import Picture, Template

pytestmark = pytest.mark.integration


def _find(engine: OnnxEngine | YuNet, picture: Picture, scale: float = 1.0) -> list[Face]:
    pixels = BgrPixels(picture)
    return engine.find(pixels, Region.whole(pixels.width, pixels.height), scale)


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
@pytest.mark.parametrize("runtime", [OnnxRuntime(), OpenVino()], ids=["onnxruntime", "openvino"])
def test_finds_what_opencv_finds(prepared: PreparedPack, runtime: Runtime, picture: Picture, score: float) -> None:
    graph = runtime.load(prepared.content(Task.DETECTION), "f32")
    ours = _find(YuNet(graph, smallest_score=score), picture)
    theirs = _opencv(prepared, picture, score)
    assert len(ours) == len(theirs)
    for face, row in zip(ours, theirs, strict=True):
        box = face.box
        assert np.allclose([box.x, box.y, box.width, box.height], row[:4], atol=1)
        assert np.allclose(face.landmarks.reshape(-1), row[4:14], atol=1)
        assert face.score == pytest.approx(float(row[14]), abs=1e-3)


def test_finds_the_six_people_of_a_group_at_half_and_full_size(engine: OnnxEngine) -> None:
    group = faces.group()
    large, small = _find(engine, group), _find(engine, group, 0.5)
    assert len(large) == len(small) == 6
    for face in small:
        nearest = min(large, key=lambda f: abs(f.box.x - face.box.x))
        assert face.box.centre == pytest.approx(nearest.box.centre, abs=10), "in the picture's own pixels"
    assert _find(engine, faces.nobody()) == []


@pytest.mark.parametrize("scale", [1.0, 0.61])
def test_looks_only_into_the_region_and_tells_places_in_the_whole_picture(engine: OnnxEngine, scale: float) -> None:
    group = faces.group()
    everybody = sorted(_find(engine, group), key=lambda f: f.box.x)
    # The middle two, with odd edges.
    found = sorted(engine.find(BgrPixels(group), Region(401, 203, 873, 601), scale), key=lambda f: f.box.x)
    assert len(found) == 2
    for face, same in zip(found, everybody[2:4], strict=True):
        assert face.box.overlap(same.box) > 0.8
        assert np.abs(face.landmarks - same.landmarks).max() < 0.1 * same.box.longer_side


def test_a_region_of_a_few_pixels_does_no_harm(engine: OnnxEngine) -> None:
    for region in (Region(0, 0, 1, 1), Region(1279, 0, 1280, 886), Region(5, 880, 1280, 881)):
        assert engine.find(BgrPixels(faces.group()), region, 0.1) == []


def test_finds_faces_from_the_size_that_it_says_on(engine: OnnxEngine) -> None:
    group = faces.group()
    smallest = min(face.box.longer_side for face in _find(engine, group))
    assert engine.sure_px < 0.2 * smallest
    assert len(_find(engine, group, engine.sure_px / smallest)) == 6


def test_blobs_are_those_of_opencv() -> None:
    pictures = [_resized(faces.people()[name], 333)[:200, :150] for name in ("group1", "group2", "astronaut")]
    found = blob(pictures, 32)
    assert found.shape == (3, 3, 224, 160)
    assert np.array_equal(found[:, :, :200, :150], cv2.dnn.blobFromImages(pictures))
    assert not found[:, :, 200:].any()
    assert not found[:, :, :, 150:].any()


def _template(engine: OnnxEngine, picture: Picture) -> Template:
    (face,) = (f for f in _find(engine, picture) if f.score > 0.7)
    return engine.template(engine.align(BgrPixels(picture), face.landmarks))


@pytest.fixture(scope="module")
def templates(engine: OnnxEngine) -> dict[str, Template]:
    return {name: _template(engine, picture) for name, picture in faces.people().items()}


def test_a_template_is_a_unit_vector_and_always_the_same(engine: OnnxEngine, templates: dict[str, Template]) -> None:
    for template in templates.values():
        assert template.shape == (128,)
        assert template.dtype == np.float32
        assert np.linalg.norm(template) == pytest.approx(1, abs=1e-6)
    again = _template(engine, faces.people()["astronaut"])
    assert again @ templates["astronaut"] > 0.9999


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
    (face,) = _find(engine, picture)
    aligned = engine.align(BgrPixels(picture), face.landmarks)
    planes = np.ascontiguousarray(aligned[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
    right, wrong = (engine._telling_apart(p)["fc1"][0] for p in (planes, planes[:, ::-1]))
    ours = templates["group1"]
    assert ours @ (right / np.linalg.norm(right)) > 0.999
    assert ours @ (wrong / np.linalg.norm(wrong)) < 0.95


def test_every_thread_may_use_it_at_once(engine: OnnxEngine) -> None:
    pictures = [_resized(p, 320)[:320, :200] for p in faces.people().values()]
    engine.prepare(200, pictures[0].shape[0])

    def look(picture: Picture) -> list[tuple[object, ...]]:
        pixels = BgrPixels(picture)
        found = [engine.level(pixels, face) for face in _find(engine, picture)]
        return [(f.box, f.score, engine.template(engine.align(pixels, f.landmarks))) for f in found]

    for _ in range(10):  # until the shapes that levelling takes have graphs of their own
        alone = [look(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(look, pictures * 4))
    for found, wanted in zip(together, alone * 4, strict=True):
        for (box, score, template), (same_box, same_score, same_template) in zip(found, wanted, strict=True):
            assert box.overlap(same_box) > 0.999
            assert score == pytest.approx(same_score, abs=1e-3)
            assert template @ same_template > 0.999


def test_loading_writes_nothing_at_home_and_asks_nobody(tmp_path: Path, prepared: PreparedPack) -> None:
    code = f"""
import socket, sys
from pathlib import Path
def refuse(*args, **kwargs): raise AssertionError("somebody was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from overt.models import ensure
from overt_detect.adapters.choosing import Wishes, choose
from overt_detect.adapters.bytetrack import ByteTrack
pack = ensure("open", Path({str(prepared.folder.parent)!r}))
assert choose(pack, Wishes()).engine.engine == "openvino"
ByteTrack()
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert list(home.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
