"""Which engine runs: what was asked for, else the fastest that agrees with the exact one on this machine."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from overt.errors import Fatal
from overt.models import PreparedPack
from overt_detect.adapters import choosing, parity
from overt_detect.adapters.choosing import Wishes, choose
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.graphs import BF16, F32, Blob, Graph, Shape
from overt_detect.adapters.graphs.open_vino import OpenVino
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Region

pytestmark = pytest.mark.integration

_HAS_BF16 = BF16 in OpenVino().precisions
needs_bf16 = pytest.mark.skipif(not _HAS_BF16, reason="this processor has no bf16")


def _refused(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    """What was logged: the event, what it was about, and why."""
    ours = [record for record in caplog.records if hasattr(record, "overt_fields")]
    fields = [(record.getMessage(), record.overt_fields) for record in ours]
    return [(event, told.get("precision", told["engine"]), told["reason"]) for event, told in fields]


def test_by_itself_it_takes_the_fastest_that_proves_itself(prepared: PreparedPack) -> None:
    chosen = choose(prepared, Wishes())
    assert chosen.engine.engine == "openvino"
    assert chosen.engine.provider == "CPU"
    assert chosen.engine.precision == (BF16 if _HAS_BF16 else F32)
    assert 0.999 < chosen.parity <= 1 + 1e-6


@pytest.mark.parametrize(
    ("wishes", "runs"),
    [
        (Wishes(engine="openvino", precision="f32"), ("openvino", "CPU", "f32")),
        (Wishes(engine="onnxruntime"), ("onnxruntime", "CPUExecutionProvider", "f32")),
        pytest.param(Wishes(precision="bf16"), ("openvino", "CPU", "bf16"), marks=needs_bf16),
    ],
)
def test_it_does_what_it_is_told(prepared: PreparedPack, wishes: Wishes, runs: tuple[str, str, str]) -> None:
    chosen = choose(prepared, wishes)
    assert (chosen.engine.engine, chosen.engine.provider, chosen.engine.precision) == runs
    assert 0.999 < chosen.parity <= 1 + 1e-6


@pytest.mark.parametrize(
    ("wishes", "remedy"),
    [
        (Wishes(engine="onnxruntime", precision="bf16"), "this machine cannot do that. Set OVERT_PRECISION"),
        (Wishes(provider="NoSuchProvider"), "OVERT_EXECUTION_PROVIDER: there is no NoSuchProvider here"),
        (Wishes(device="ABACUS"), "OVERT_DEVICE: OpenVINO finds no ABACUS here"),
    ],
)
def test_what_cannot_be_had_is_fatal_with_what_to_do(prepared: PreparedPack, wishes: Wishes, remedy: str) -> None:
    with pytest.raises(Fatal, match=remedy):
        choose(prepared, wishes)


@needs_bf16
def test_a_precision_that_disagrees_is_not_taken_and_said_why(
    prepared: PreparedPack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parity, "LEAST_COSINE", 0.99999)
    chosen = choose(prepared, Wishes())
    assert (chosen.engine.engine, chosen.engine.precision) == ("openvino", F32)
    assert _refused(caplog) == [("precision_refused", BF16, "parity")]
    with pytest.raises(Fatal, match=r"OVERT_PRECISION=bf16: .*does not agree with f32.*Set OVERT_PRECISION=f32"):
        choose(prepared, Wishes(precision="bf16"))


def test_when_nothing_agrees_the_exact_one_is_left(
    prepared: PreparedPack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parity, "LEAST_OVERLAP", 1.1)
    assert choose(prepared, Wishes()).engine.engine == "onnxruntime"
    assert {why for _, _, why in _refused(caplog)} <= {"parity", "not_supported"}
    with pytest.raises(Fatal, match="does not agree"):
        choose(prepared, Wishes(engine="openvino"))


def test_without_the_pictures_nothing_is_taken_unchecked_unless_asked_for(
    prepared: PreparedPack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parity, "_FILES", ("t1.jpg", "no_such_file.png"))
    assert parity.picture() is None
    chosen = choose(prepared, Wishes())
    assert (chosen.engine.engine, chosen.engine.precision, chosen.parity) == ("openvino", F32, 0.0)
    assert ("precision_refused", F32, "not_checked") in _refused(caplog)
    if _HAS_BF16:
        chosen = choose(prepared, Wishes(precision="bf16"))
        assert (chosen.engine.precision, chosen.parity) == (BF16, 0.0)


class _NoBf16(OpenVino):
    def __init__(self) -> None:
        super().__init__()
        self.precisions = (F32,)


def test_a_processor_without_bf16_runs_f32_and_bf16_is_refused(
    prepared: PreparedPack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choosing, "_runtimes", lambda wishes: iter([_NoBf16()]))
    assert choose(prepared, Wishes()).engine.precision == F32
    assert _refused(caplog) == [("precision_refused", BF16, "not_supported")]
    with pytest.raises(Fatal, match="cannot do that"):
        choose(prepared, Wishes(precision="bf16"))


def test_without_openvino_onnx_runtime_does(
    prepared: PreparedPack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "overt_detect.adapters.graphs.open_vino")
    monkeypatch.delattr("overt_detect.adapters.graphs.open_vino")
    chosen = choose(prepared, Wishes())
    assert (chosen.engine.engine, chosen.parity) == ("onnxruntime", 1.0)
    assert _refused(caplog) == [("engine_refused", "openvino", "not_installed")]
    with pytest.raises(Fatal, match=r"OVERT_ENGINE: OpenVINO cannot be loaded"):
        choose(prepared, Wishes(engine="openvino"))


@dataclasses.dataclass
class _Leaning:
    """A runtime that lies about one thing."""

    inner: OpenVino
    lie: float
    engine: str = "leaning"
    provider: str = "CPU"
    precisions: tuple[str, ...] = (F32,)

    def load(self, content: bytes, precision: str, *, only: Shape | None = None) -> Graph:
        graph, lie = self.inner.load(content, precision, only=only), self.lie

        class Lying:
            def __getattr__(self, name: str) -> object:
                return getattr(graph, name)

            def __call__(self, blob: Blob) -> dict[str, Blob]:
                found = graph(blob)
                for name in found:
                    if name == "fc1" or name.startswith("bbox"):
                        found[name] = found[name] + np.float32(lie) * np.roll(found[name], 1, axis=-1)
                return found

            def seen(self, blob: Blob) -> AbstractContextManager[dict[str, Blob]]:
                return nullcontext(self(blob))

        return Lying()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def reference(exact: OnnxEngine) -> parity.Reference:
    seen = parity.picture()
    assert seen is not None
    return parity.refer(exact, seen)


def test_the_check_sees_seven_people_and_notices_a_small_lie(
    prepared: PreparedPack, reference: parity.Reference
) -> None:
    assert len(reference.templates) == 7
    assert np.max(np.stack(reference.templates) @ np.stack(reference.templates).T - np.eye(7)) < 0.35
    for lie, holds in ((0.0, True), (0.1, False)):
        engine = OnnxEngine(prepared, _Leaning(OpenVino(), lie), smallest_score=0.5)
        found = parity.compare(engine, reference)
        assert found.holds is holds
        assert (found.cosine > 0.999) is holds
        assert (found.overlap > 0.98) is holds


def test_a_face_too_few_or_too_many_is_noticed(exact: OnnxEngine, reference: parity.Reference) -> None:
    without = dataclasses.replace(reference, faces=reference.faces[1:])
    elsewhere = dataclasses.replace(reference.faces[0], box=reference.faces[0].box.moved(300, 0))
    more = dataclasses.replace(reference, faces=[*reference.faces, elsewhere])
    assert parity.compare(exact, reference).holds
    for changed in (without, more):
        found = parity.compare(exact, changed)
        assert not found.holds
        assert found.overlap < 0.5


def test_the_whole_frame_is_the_one_that_cameras_are_searched_at(exact: OnnxEngine) -> None:
    seen = parity.picture()
    assert seen is not None
    assert seen.shape == (parity.HEIGHT, parity.WIDTH, 3)
    found = exact.find(BgrPixels(seen), Region.whole(parity.WIDTH, parity.HEIGHT), 1.0)
    assert len(found) == 7


@needs_bf16
@pytest.mark.data
def test_on_faces_of_many_people_bf16_says_the_same(
    prepared: PreparedPack, exact: OnnxEngine, shared_data: Path
) -> None:
    bf16 = OnnxEngine(prepared, OpenVino(), precision=BF16, smallest_score=0.5)
    cosines, overlaps, misplaced = [], [], []
    people = sorted(p for p in (shared_data / "lfw_dev").iterdir() if p.is_dir())
    for person in people[:: len(people) // 78][:78]:
        picture = cv2.imread(str(min(person.iterdir())))
        pixels, whole = BgrPixels(np.asarray(picture, np.uint8)), Region.whole(picture.shape[1], picture.shape[0])
        for face in exact.find(pixels, whole, 1.0)[:1]:
            same = max(bf16.find(pixels, whole, 1.0), key=lambda f: f.box.overlap(face.box))
            aligned = exact.align(pixels, face.landmarks)
            cosines.append(float(exact.template(aligned) @ bf16.template(aligned)))
            overlaps.append(face.box.overlap(same.box))
            misplaced.append(float(np.abs(face.landmarks - same.landmarks).max() / face.box.longer_side))
    assert len(cosines) >= 76
    assert np.median(cosines) >= 0.9998
    assert min(cosines) >= 0.999
    assert min(overlaps) >= 0.9
    assert np.median(misplaced) < 0.005
