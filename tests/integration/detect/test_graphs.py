"""A graph means the same on every runtime, from every thread, and keeps nothing of what it is given."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from overt.errors import Fatal
from overt.models import PreparedPack, Task
from overt_detect.adapters.graphs import BF16, F32, Blob, Graph, Runtime, open_vino
from overt_detect.adapters.graphs.onnx_runtime import OnnxRuntime
from overt_detect.adapters.graphs.open_vino import MOST_SHAPES, OFTEN, OpenVino, OpenVinoGraph

pytestmark = pytest.mark.integration

_RUNTIMES = {"onnxruntime": OnnxRuntime(), "openvino": OpenVino(streams=4)}
_EVERY = [(name, precision) for name, runtime in _RUNTIMES.items() for precision in runtime.precisions]


@pytest.fixture(scope="module", params=_EVERY, ids=[f"{name} {precision}" for name, precision in _EVERY])
def detector(request: pytest.FixtureRequest, prepared: PreparedPack) -> Graph:
    name, precision = request.param
    return _RUNTIMES[name].load(prepared.content(Task.DETECTION), precision)


def _blob(seed: int, height: int = 160, width: int = 192, number: int = 1) -> Blob:
    return np.random.default_rng(seed).integers(0, 256, (number, 3, height, width)).astype(np.float32)


def test_it_says_what_it_is_and_what_it_takes(detector: Graph) -> None:
    assert (detector.engine, detector.provider) in {("onnxruntime", "CPUExecutionProvider"), ("openvino", "CPU")}
    assert detector.precision in (F32, BF16)
    assert detector.input.name == "input"
    assert [isinstance(d, int) for d in detector.input.shape] == [False, True, False, False]
    heads = ("cls", "obj", "bbox", "kps")
    assert {o.name for o in detector.outputs} == {f"{head}_{stride}" for head in heads for stride in (8, 16, 32)}


def test_outputs_are_the_callers_own_and_the_blob_is_let_go(detector: Graph) -> None:
    detector.prepare((1, 3, 160, 192))
    seen = _blob(1)
    first = detector(seen)
    kept = {name: value.copy() for name, value in first.items()}
    for value in detector(_blob(2)).values():
        value.fill(7)
    for name, value in detector(_blob(1)).items():
        assert np.array_equal(value, kept[name])
        assert np.array_equal(first[name], kept[name]), "another call has written over it"
        assert value.dtype == np.float32
    gone = weakref.ref(seen)
    del seen
    gc.collect()
    assert gone() is None, "a picture outlives its frame"


def test_outputs_may_be_read_where_they_lie(detector: Graph) -> None:
    detector.prepare((1, 3, 160, 192))
    wanted = detector(_blob(4))
    with detector.seen(_blob(4)) as outputs, detector.seen(_blob(5)) as others:
        for name, value in wanted.items():
            assert np.array_equal(outputs[name], value)
        assert not np.array_equal(others["bbox_8"], wanted["bbox_8"])


def test_many_threads_at_once_get_what_one_gets_alone(detector: Graph) -> None:
    blobs = [_blob(seed) for seed in range(6)]
    detector.prepare(blobs[0].shape)
    alone = [detector(blob) for blob in blobs]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(blobs)), 15))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: detector(blobs[i]), order))
    for i, outputs in zip(order, found, strict=True):
        for name, value in alone[i].items():
            assert np.array_equal(outputs[name], value), name


def test_every_size_and_number_gives_what_onnx_runtime_gives(prepared: PreparedPack) -> None:
    content = prepared.content(Task.DETECTION)
    exact, other = OnnxRuntime().load(content), OpenVino().load(content, F32)
    for seed, (number, height, width) in enumerate([(1, 32, 32), (1, 544, 960), (6, 160, 160), (2, 96, 320)]):
        blob = _blob(seed, height, width, number)
        wanted, found = exact(blob), other(blob)
        other.prepare(blob.shape)
        for outputs in (found, other(blob)):
            for name, value in wanted.items():
                assert outputs[name].shape == value.shape
                assert np.allclose(outputs[name], value, atol=1e-4), (name, blob.shape)


def test_a_graph_for_one_shape_takes_that_one(prepared: PreparedPack) -> None:
    content = prepared.content(Task.RECOGNITION)
    face = _blob(3, 112, 112)
    wanted = OnnxRuntime().load(content)(face)["fc1"]
    graph = OpenVino().load(content, F32, only=face.shape)
    assert np.allclose(graph(face)["fc1"], wanted, atol=1e-3)
    assert graph.input.shape == (1, 3, 112, 112)
    graph.prepare(face.shape)


# The rest with a graph of three numbers, which compiles in a moment.


def _tripling() -> bytes:
    size = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["picture", "three"], ["tripled"])],
        "tripling",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("tripled", TensorProto.FLOAT, size)],
        [numpy_helper.from_array(np.float32(3), "three")],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(at=0.0)
    monkeypatch.setattr(open_vino, "time", SimpleNamespace(monotonic=lambda: clock.at))
    return clock


def _shapes_of_its_own(graph: OpenVinoGraph) -> set[int]:
    """Widths that have a graph of their own, when no thread makes one any more."""
    deadline = time.monotonic() + 20
    while any(thread.name == "graph-for-a-shape" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return {shape[3] for shape in graph._own}


def _ask(graph: OpenVinoGraph, width: int, times: int = 1) -> None:
    for _ in range(times):
        blob = np.full((1, 3, 8, width), width, np.float32)
        assert np.array_equal(graph(blob)["tripled"], 3 * blob)


def test_a_shape_that_comes_often_gets_a_graph_of_its_own(now: SimpleNamespace) -> None:
    graph = OpenVino().load(_tripling())
    _ask(graph, 8, OFTEN - 1)
    assert _shapes_of_its_own(graph) == set()
    _ask(graph, 8)
    assert _shapes_of_its_own(graph) == {8}
    _ask(graph, 8)


def test_there_are_never_more_than_so_many_and_those_in_use_stay(now: SimpleNamespace) -> None:
    graph = OpenVino().load(_tripling())
    for width in range(1, MOST_SHAPES + 1):
        graph.prepare((1, 3, 8, width))
    assert _shapes_of_its_own(graph) == set(range(1, MOST_SHAPES + 1))
    _ask(graph, 100, 3 * OFTEN)
    assert 100 not in _shapes_of_its_own(graph), "all of the others may be in use"
    now.at = 61
    _ask(graph, 1)
    _ask(graph, 100)
    assert _shapes_of_its_own(graph) == {1, 100, *range(3, MOST_SHAPES + 1)}, "the least used gave its place"
    for width in range(200, 200 + 100 * MOST_SHAPES):
        _ask(graph, width)
    assert len(graph._calls) <= 64 * MOST_SHAPES + 1


def test_a_graph_of_its_own_that_cannot_be_made_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = OpenVino().load(_tripling())

    def refuse(shape: object) -> None:
        raise RuntimeError("no memory")

    _ask(graph, 5)
    monkeypatch.setattr(graph, "_make", refuse)
    _ask(graph, 5, 3 * OFTEN)
    assert _shapes_of_its_own(graph) == set()


@pytest.mark.parametrize("runtime", list(_RUNTIMES.values()), ids=list(_RUNTIMES))
def test_a_graph_with_two_inputs_is_refused(runtime: Runtime) -> None:
    model = onnx.load_model_from_string(_tripling())
    model.graph.input.append(helper.make_tensor_value_info("three", TensorProto.FLOAT, []))
    del model.graph.initializer[:]
    with pytest.raises(Fatal, match="2 inputs"):
        runtime.load(model.SerializeToString(), F32)


def test_what_is_not_here_is_fatal_and_named() -> None:
    with pytest.raises(Fatal, match=r"OVERT_EXECUTION_PROVIDER: there is no NoSuchProvider here, only .*CPU"):
        OnnxRuntime("NoSuchProvider")
    with pytest.raises(Fatal, match=r"OVERT_DEVICE: OpenVINO finds no ABACUS here, only .*CPU"):
        OpenVino("ABACUS")
    with pytest.raises(Fatal, match="not in bf16"):
        OnnxRuntime().load(b"", BF16)


def test_a_runtime_let_go_of_in_another_thread_leaves_signals_alone() -> None:
    told = """
import os, signal, threading
from overt_detect.adapters.graphs.open_vino import OpenVino
signal.signal(signal.SIGTERM, lambda number, frame: print("handled"))
made = [OpenVino()]
other = threading.Thread(target=made.clear)
other.start()
other.join()
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "handled")
