"""insightface's own packs, as far as they can be tested without their weights: small graphs with the same inputs and
outputs, whose answers are known, through the whole way from the folder with the files to a template."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from insightface.model_zoo.scrfd import SCRFD
from onnx import TensorProto, helper, numpy_helper
from overt.errors import Fatal
from overt.models import Input, Pack, PreparedPack, build, ensure, load_pack, verify
from overt.testing import faces
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.graphs import F32, Runtime
from overt_detect.adapters.graphs.onnx_runtime import OnnxRuntime
from overt_detect.adapters.graphs.open_vino import OpenVino
from overt_detect.adapters.ort import onnxruntime
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.adapters.scrfd import Scrfd
from overt_detect.domain.geometry import Face, Region
from overt_detect.ports import Picture
from overt_lab.models_cli import models

pytestmark = pytest.mark.integration

_RUNTIMES = [OnnxRuntime(), OpenVino(streams=2)]
_NAMES = ("448", "471", "494", "451", "474", "497", "454", "477", "500")
"""Of det_10g's outputs: scores, boxes, landmarks, each at strides 8, 16, 32."""
_WANTED = Input("RGB", 127.5, 128.0, multiple_of=32)


def _weights(name: str, values: np.ndarray) -> object:
    return numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)


def _detector() -> bytes:
    """SCRFD's inputs and outputs: two anchors a cell, each a function of the cell's mean colour.

    An anchor scores where a cell is much redder than green, so that red patches are faces.
    """
    random = np.random.default_rng(11)
    nodes, constants, outputs = [], [], []
    for number, stride in enumerate((8, 16, 32)):
        nodes.append(
            helper.make_node(
                "AveragePool", ["input.1"], [f"mean{stride}"], kernel_shape=[stride, stride], strides=[stride, stride]
            )
        )
        for kind, channels in enumerate((1, 4, 10)):
            name = _NAMES[3 * kind + number]
            if kind == 0:
                kernel = np.tile([[9.0, -9.0, 0.0]], (2, 1)) * [[1], [0.9]]
                bias = np.array([-6.0 - number, -7.0 - number])
            else:
                kernel = random.normal(0, 0.3, (2 * channels, 3))
                bias = random.uniform(0.5, 4, 2 * channels) if kind == 1 else random.normal(0, 2, 2 * channels)
            constants += [
                _weights(f"w{name}", kernel.reshape(2 * channels, 3, 1, 1)),
                _weights(f"b{name}", bias),
                numpy_helper.from_array(np.array([-1, channels], np.int64), f"s{name}"),
            ]
            nodes += [
                helper.make_node("Conv", [f"mean{stride}", f"w{name}", f"b{name}"], [f"c{name}"]),
                helper.make_node("Transpose", [f"c{name}"], [f"t{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t{name}", f"s{name}"], [name if kind else f"r{name}"]),
            ]
            if kind == 0:
                nodes.append(helper.make_node("Sigmoid", [f"r{name}"], [name]))
            # As published: the sizes of the outputs for a picture of 640 pixels, though any picture is taken.
            anchors = 2 * (640 // stride) ** 2
            outputs.append((name, helper.make_tensor_value_info(name, TensorProto.FLOAT, [anchors, channels])))
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "?", "?"])
    ordered = [dict(outputs)[name] for name in _NAMES]
    graph = helper.make_graph(nodes, "scrfd", [picture], ordered, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6).SerializeToString()


_MIX = np.random.default_rng(12).normal(0, 1, (512, 3 * 4 * 4))


def _recogniser() -> bytes:
    """512 numbers of a face's colours in a four by four grid."""
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["mean"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "mix"], ["683"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "r50",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])],
        [helper.make_tensor_value_info("683", TensorProto.FLOAT, [1, 512])],
        [_weights("mix", _MIX)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6).SerializeToString()


def _scene() -> Picture:
    """Grey noise with red patches of several sizes."""
    random = np.random.default_rng(3)
    picture = random.integers(60, 120, (360, 520, 3)).astype(np.uint8)
    for x, y, side in ((40, 60, 40), (200, 150, 96), (400, 30, 24), (330, 250, 64)):
        cv2.circle(picture, (x, y), side // 2, (30, 40, 230), -1)
    return picture


def _of_insightface(picture: Picture, score: float) -> tuple[np.ndarray, np.ndarray]:
    """insightface's class on its own runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(_detector(), options, providers=["CPUExecutionProvider"])
    height, width = picture.shape[:2]
    padded = cv2.copyMakeBorder(picture, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
    return SCRFD(session=session).detect(padded, input_size=padded.shape[1::-1], det_thresh=score)


def _agree(found: list[Face], boxes: np.ndarray, landmarks: np.ndarray) -> None:
    assert len(found) == len(boxes) > 0
    for face, box, points in zip(found, boxes, landmarks, strict=True):
        here = face.box
        assert np.allclose([here.x, here.y, here.x + here.width, here.y + here.height], box[:4], atol=0.01)
        assert face.score == pytest.approx(float(box[4]), abs=1e-4)
        assert np.allclose(face.landmarks, points, atol=0.01)


@pytest.mark.parametrize("runtime", _RUNTIMES, ids=["onnxruntime", "openvino"])
@pytest.mark.parametrize("score", [0.3, 0.5])
def test_boxes_and_landmarks_are_those_that_insightface_reads(runtime: Runtime, score: float) -> None:
    detector = Scrfd(runtime.load(_detector(), F32), wanted=_WANTED, smallest_score=score)
    picture = _scene()
    found = detector.find(BgrPixels(picture), Region.whole(520, 360), 1.0)
    _agree(found, *_of_insightface(picture, score))


def test_a_region_is_searched_alone_and_at_its_scale() -> None:
    detector = Scrfd(OnnxRuntime().load(_detector()), wanted=_WANTED, smallest_score=0.4)
    picture = _scene()
    region = Region(101, 51, 501, 351)
    part = np.ascontiguousarray(picture[51:351, 101:501])
    boxes, landmarks = _of_insightface(part, 0.4)
    boxes[:, :4] += [101, 51, 101, 51]
    _agree(detector.find(BgrPixels(picture), region, 1.0), boxes, landmarks + np.float32([101, 51]))

    half = np.asarray(cv2.resize(part, (200, 150)), np.uint8)
    boxes, landmarks = _of_insightface(half, 0.4)
    boxes[:, :4] = boxes[:, :4] * 2 + [101, 51, 101, 51]
    _agree(detector.find(BgrPixels(picture), region, 0.5), boxes, landmarks * 2 + np.float32([101, 51]))


def test_threads_that_look_at_different_sizes_do_not_disturb_one_another() -> None:
    detector = Scrfd(OpenVino(streams=4).load(_detector(), F32), wanted=_WANTED, smallest_score=0.4)
    scene = _scene()
    pictures = [np.ascontiguousarray(scene[:height, :width]) for height, width in ((360, 520), (200, 300), (310, 410))]

    def look(picture: Picture) -> list[Face]:
        return detector.find(BgrPixels(picture), Region.whole(picture.shape[1], picture.shape[0]), 1.0)

    wanted = [_of_insightface(picture, 0.4) for picture in pictures]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(look, pictures * 20))
    for faces_found, (boxes, landmarks) in zip(found, wanted * 20, strict=True):
        _agree(faces_found, boxes, landmarks)


def test_a_detector_without_landmarks_or_fed_otherwise_is_refused() -> None:
    with pytest.raises(Fatal, match="9 outputs, this one 1"):
        Scrfd(OnnxRuntime().load(_recogniser()), wanted=_WANTED, smallest_score=0.5)
    with pytest.raises(Fatal, match="would feed the detector"):
        Scrfd(OnnxRuntime().load(_detector()), wanted=Input("BGR", 0.0, 1.0, multiple_of=32), smallest_score=0.5)


# A pack like buffalo_l, whose files somebody has.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "files"
    found.mkdir()
    (found / "det_10g.onnx").write_bytes(_detector())
    (found / "w600k_r50.onnx").write_bytes(_recogniser())
    return found


@pytest.fixture
def manifest(tmp_path: Path, folder: Path, root: Path) -> Path:
    """buffalo_l's own, with the digests of these files."""
    text = (root / "libs/overt/models/packs/buffalo_l.toml").read_text()
    for model in load_pack("buffalo_l").models:
        text = text.replace(model.sha256, hashlib.sha256((folder / model.file).read_bytes()).hexdigest())
    path = tmp_path / "like_buffalo.toml"
    path.write_text(text)
    return path


def _built(manifest: Path, folder: Path, directory: Path) -> PreparedPack:
    return build(load_pack(str(manifest)), directory, from_folder=folder, licence_accepted=True)


@pytest.mark.parametrize("runtime", _RUNTIMES, ids=["onnxruntime", "openvino"])
def test_such_a_pack_finds_aligns_and_templates(runtime: Runtime, manifest: Path, folder: Path, tmp_path: Path) -> None:
    engine = OnnxEngine(_built(manifest, folder, tmp_path / "m"), runtime, smallest_score=0.4)
    engine.prepare(520, 360)
    pixels = BgrPixels(_scene())
    found = engine.find(pixels, Region.whole(520, 360), 1.0)
    assert found
    assert engine.sure_px == 20
    assert engine.level(pixels, found[0]) is found[0]
    aligned = np.ascontiguousarray(faces.actor())
    template = engine.template(aligned)
    grid = (aligned[:, :, ::-1] / 127.5 - 1).reshape(4, 28, 4, 28, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)
    wanted = _MIX @ grid
    assert template.shape == (512,)
    assert template @ (wanted / np.linalg.norm(wanted)) > 0.99999
    assert engine.align(pixels, found[0].landmarks).shape == (112, 112, 3)


def test_it_is_used_only_where_its_licence_was_accepted(manifest: Path, folder: Path, tmp_path: Path) -> None:
    pack, where = load_pack(str(manifest)), tmp_path / "m"
    remedy = "overt models build buffalo_l --from FOLDER_WITH_ITS_FILES --accept-licence"
    with pytest.raises(Fatal, match=f"non-commercial.*{remedy}"):
        ensure(pack, where)
    run = CliRunner().invoke
    command = ["build", str(manifest), "--directory", str(where), "--from", str(folder)]
    with pytest.raises(Fatal, match="only after its licence is accepted"):
        run(models, command, catch_exceptions=False)
    assert not where.exists()
    assert run(models, [*command, "--accept-licence"]).exit_code == 0
    built = verify(pack, where)
    (built.folder / "LICENCE_ACCEPTED").unlink()
    with pytest.raises(Fatal, match=f"nobody has accepted here.*{remedy}"):
        ensure(pack, where)


def test_buffalo_l_is_pinned_to_the_published_files(folder: Path, tmp_path: Path) -> None:
    pack: Pack = load_pack("buffalo_l")
    assert pack.acceptance_required
    assert {m.file for m in pack.models} == {m.source.file for m in pack.models} == {"det_10g.onnx", "w600k_r50.onnx"}
    assert all(m.sha256 == m.source.sha256 for m in pack.models), "used as they are"
    with pytest.raises(Fatal, match=r"det_10g\.onnx is not the file that the manifest of det_10g pins"):
        build(pack, tmp_path / "m", from_folder=folder, licence_accepted=True)
    listed = CliRunner().invoke(models, ["list", "--directory", str(tmp_path / "m")])
    assert "overt models build buffalo_l --from FOLDER --accept-licence" in listed.output
