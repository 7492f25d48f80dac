"""detect as it is run: a process on a Unix socket, gRPC, tokens, hostile input, a clean stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
import simplejpeg
from google.protobuf.timestamp_pb2 import Timestamp
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.auth import TokenIssuer, generate_issuer_key
from overt.errors import Rejected
from overt.models import PreparedPack
from overt.permissions import Role
from overt.reasons import Reason
from overt.rpc import connect, to_overt_error
from overt.testing import faces
from support.otlp import Receiver, Span

pytestmark = pytest.mark.integration

_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _jpeg(picture: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), 90, "BGR", "420")


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


@dataclass(frozen=True, slots=True)
class _Detect:
    process: subprocess.Popen[bytes]
    address: str
    folder: Path
    issuer_key: bytes = field(repr=False)
    spans: Receiver

    def token(self, role: Role, *, made_ago: timedelta = timedelta(0)) -> str:
        issuer = TokenIssuer(self.issuer_key, now=lambda: datetime.now(UTC) - made_ago)
        return issuer.issue(role, subject="test", lifetime=timedelta(minutes=5))

    def log(self) -> str:
        return (self.folder / "log").read_text()


def _environment(folder: Path, prepared: PreparedPack, **more: str) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OVERT_STRICT_TELEMETRY": "1",
        "OVERT_LISTEN": f"unix:{folder / 'detect.sock'}",
        "OVERT_ADDRESS_FILE": str(folder / "address"),
        "OVERT_ISSUER_PUBLIC_KEY_FILE": str(folder / "issuer.pub"),
        "OVERT_MODEL_DIR": str(prepared.folder.parent),
        **more,
    }


def _start(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "overt_detect"], env=environment, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def detect(prepared: PreparedPack) -> Iterator[_Detect]:
    # Not pytest's own directory: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="overt-detect-"))
    private, public = generate_issuer_key()
    (folder / "issuer.pub").write_bytes(public)
    spans = Receiver()
    spans.start()
    process = _start(folder, _environment(folder, prepared, OVERT_OTLP_ENDPOINT=spans.url))
    try:
        deadline = time.monotonic() + 60
        while not (folder / "address").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "not ready within a minute"
            time.sleep(0.05)
        yield _Detect(process, (folder / "address").read_text().strip(), folder, private, spans)
    finally:
        process.kill()
        process.wait()
        spans.stop()
        shutil.rmtree(folder)


@pytest.fixture
async def ingest(detect: _Detect) -> AsyncIterator[detect_pb2_grpc.DetectStub]:
    async with connect(detect.address, token=lambda: detect.token(Role.SERVICE_INGEST)) as channel:
        yield detect_pb2_grpc.DetectStub(channel)


@pytest.fixture
async def gateway(detect: _Detect) -> AsyncIterator[detect_pb2_grpc.DetectStub]:
    async with connect(detect.address, token=lambda: detect.token(Role.SERVICE_GATEWAY)) as channel:
        yield detect_pb2_grpc.DetectStub(channel)


class _Stream:
    """One Analyse stream: `send` a frame, get its reply."""

    def __init__(self, stub: detect_pb2_grpc.DetectStub) -> None:
        self._call = stub.Analyse()
        self._sequence = 0
        self.ring_attached = False
        self._at = datetime.now(UTC)

    async def open(self, camera: str = "north", **wishes: object) -> _Stream:
        await self.write(pb.AnalyseRequest(opening=pb.Opening(deployment="d", camera=camera, **wishes)))
        opened = await self.read()
        assert (opened.sequence, opened.rejected) == (0, "")
        self.ring_attached = opened.ring_attached
        return self

    async def write(self, request: pb.AnalyseRequest) -> None:
        await self._call.write(request)

    async def read(self) -> pb.AnalyseReply:
        reply = await asyncio.wait_for(self._call.read(), 20)
        assert isinstance(reply, pb.AnalyseReply), await self._call.code()
        return reply

    async def send(self, **frame: object) -> pb.AnalyseReply:
        self._sequence += 1
        self._at += timedelta(milliseconds=150)
        captured = Timestamp()
        captured.FromDatetime(self._at)
        fields = {"sequence": self._sequence, "captured_at": captured, **frame}
        await self.write(pb.AnalyseRequest(frame=pb.FrameToAnalyse(**fields)))
        return await self.read()

    def cancel(self) -> None:
        self._call.cancel()


async def _refusal(call: grpc.aio.Call) -> Rejected:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asyncio.wait_for(call, 20) if hasattr(call, "__await__") else await asyncio.wait_for(call.read(), 20)
    error = to_overt_error(failed.value)
    assert isinstance(error, Rejected), error
    return error


async def _end_of(stream: _Stream) -> grpc.aio.AioRpcError:
    try:
        while True:
            await stream.send(jpeg=_jpeg(faces.astronaut()))
    except grpc.aio.AioRpcError as error:
        return error


async def test_describe_tells_epoch_models_and_licences(
    ingest: detect_pb2_grpc.DetectStub, prepared: PreparedPack
) -> None:
    told = await ingest.Describe(pb.DescribeRequest())
    assert told.epoch == (await ingest.Describe(pb.DescribeRequest())).epoch
    assert len(told.epoch) == 36
    assert (told.pack, told.model_digest, told.template_length) == ("open", prepared.digest, 128)
    assert {(m.task, m.licence) for m in told.models} == {("detection", "MIT"), ("recognition", "Apache-2.0")}
    assert (told.engine, told.execution_provider) == ("openvino", "CPU")
    assert told.precision in {"bf16", "f32"}
    assert 0.999 < told.parity < 1.00001


async def test_six_people_are_found_tracked_and_templated_once(ingest: detect_pb2_grpc.DetectStub) -> None:
    stream = await _Stream(ingest).open()
    group = _jpeg(faces.group())
    first = await stream.send(jpeg=group)
    assert (first.sequence, first.width, first.height) == (1, 1280, 886)
    assert first.took.ToTimedelta() > timedelta(0)
    assert [(f.track, f.refused) for f in first.faces] == [(0, "not_tracked")] * 6
    second = await stream.send(jpeg=group)
    assert sorted(f.track for f in second.faces) == [1, 2, 3, 4, 5, 6]
    replies = [second, await stream.send(jpeg=group)]
    taken = {f.track: np.frombuffer(f.template, "<f4") for reply in replies for f in reply.faces if f.template}
    assert [sum(bool(f.template) for f in reply.faces) for reply in replies] == [4, 2]
    assert Counter(f.refused for f in second.faces) == {"": 4, "next_frame": 2}
    shots = np.stack([taken[track] for track in sorted(taken)])
    scores = shots @ shots.T
    assert np.allclose(np.diag(scores), 1, atol=1e-5)
    assert (scores - np.eye(6)).max() < 0.4
    last = await stream.send(jpeg=group, pending_tracks=[2], settled_tracks=[5])
    assert [f.track for f in last.faces if f.template] == [2]
    assert {f.track: f.refused for f in last.faces if not f.template} == {
        **dict.fromkeys((1, 3, 4, 6), "not_better"),
        5: "settled",
    }
    stream.cancel()


async def test_a_raw_picture_is_analysed_like_its_jpeg_and_streams_do_not_share_tracks(
    ingest: detect_pb2_grpc.DetectStub,
) -> None:
    picture = faces.astronaut()
    raw = pb.RawPicture(width=512, height=512, bgr=picture.tobytes())
    streams = [await _Stream(ingest).open(f"c{i}") for i in range(3)]
    for _ in range(2):
        replies = await asyncio.gather(*(s.send(raw=raw) for s in streams[:2]), streams[2].send(jpeg=_jpeg(picture)))
    assert [[f.track for f in r.faces] for r in replies] == [[1], [1], [1]]
    templates = [np.frombuffer(r.faces[0].template, "<f4") for r in replies]
    assert templates[0] @ templates[1] > 0.9999
    assert templates[0] @ templates[2] > 0.95
    for stream in streams:
        stream.cancel()


async def test_a_bad_picture_is_answered_with_its_reason_and_the_stream_goes_on(
    ingest: detect_pb2_grpc.DetectStub,
) -> None:
    stream = await _Stream(ingest).open()
    good = _jpeg(faces.astronaut())
    frame_header = good.index(b"\xff\xc0")

    def claiming(side: int) -> bytes:
        size = side.to_bytes(2, "big")
        return good[: frame_header + 5] + size + size + good[frame_header + 9 :]

    for frame, reason in (
        ({"jpeg": b"GIF89a and so on"}, Reason.NOT_A_JPEG),
        ({"jpeg": good[: len(good) // 3]}, Reason.TRUNCATED),
        ({"jpeg": claiming(1)}, Reason.PICTURE_TOO_SMALL),
        ({"jpeg": claiming(20_000)}, Reason.PICTURE_TOO_LARGE),
        ({"raw": pb.RawPicture(width=640, height=480, bgr=bytes(100))}, Reason.NOT_A_PICTURE),
        ({}, Reason.BAD_MESSAGE),
        ({"jpeg": good, "captured_at": Timestamp()}, Reason.BAD_MESSAGE),
    ):
        reply = await stream.send(**frame)
        assert reply.rejected == reason
        assert not reply.faces
    assert len((await stream.send(jpeg=good)).faces) == 1
    stream.cancel()


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([pb.AnalyseRequest(frame=pb.FrameToAnalyse(jpeg=b"x"))], Reason.BAD_MESSAGE),
        ([pb.AnalyseRequest()], Reason.BAD_MESSAGE),
        ([pb.AnalyseRequest(opening=pb.Opening(deployment="d", camera="c"))] * 2, Reason.BAD_MESSAGE),
        ([pb.AnalyseRequest(opening=pb.Opening(deployment="d", camera="C !"))], Reason.BAD_FIELD),
    ],
    ids=["frame first", "empty", "two openings", "bad camera"],
)
async def test_a_stream_that_breaks_the_rules_ends(
    ingest: detect_pb2_grpc.DetectStub, requests: list[pb.AnalyseRequest], reason: Reason
) -> None:
    call = ingest.Analyse()
    for request in requests:
        await call.write(request)
    if len(requests) > 1:
        assert isinstance(await call.read(), pb.AnalyseReply), "the first opening is answered"
    assert (await _refusal(call)).reason is reason


async def test_a_message_beyond_the_limit_is_refused_and_the_service_lives(
    gateway: detect_pb2_grpc.DetectStub, detect: _Detect
) -> None:
    token = detect.token(Role.SERVICE_GATEWAY)
    async with connect(detect.address, token=lambda: token, max_message_bytes=256 << 20) as channel:
        huge = detect_pb2_grpc.DetectStub(channel).Enrol(pb.EnrolRequest(image=bytes(100 << 20)))
        assert (await _refusal(huge)).reason is Reason.MESSAGE_TOO_LARGE
    assert (await gateway.Describe(pb.DescribeRequest())).pack == "open"


async def test_enrolment_gives_a_template_or_a_reason(
    gateway: detect_pb2_grpc.DetectStub, ingest: detect_pb2_grpc.DetectStub
) -> None:
    good = await gateway.Enrol(pb.EnrolRequest(image=_png(faces.people()["astronaut"])))
    assert good.reason == ""
    assert len(good.template) == 512
    assert max(simplejpeg.decode_jpeg_header(good.reference_jpeg)[:2]) <= 320
    assert good.quality.size_px > 90
    for image, reason in (
        (_jpeg(faces.nobody()), Reason.NO_FACE),
        (_jpeg(faces.group()), Reason.SEVERAL_FACES),
        (_png(faces.people()["group5"]), Reason.EXTREME_POSE),
        (b"not a picture", Reason.NOT_A_PICTURE),
        (_png(faces.astronaut())[:5000], Reason.TRUNCATED),
    ):
        refused = await gateway.Enrol(pb.EnrolRequest(image=image))
        assert refused == pb.EnrolReply(reason=reason)

    stream = await _Stream(ingest).open()
    for _ in range(2):
        (face,) = (await stream.send(jpeg=_jpeg(faces.astronaut()))).faces
    assert np.frombuffer(face.template, "<f4") @ np.frombuffer(good.template, "<f4") > 0.9
    stream.cancel()


async def test_who_may_call_what(detect: _Detect) -> None:
    async def reason(token: str | None, call: str) -> Reason:
        async with connect(detect.address, token=None if token is None else lambda: token) as channel:
            stub = detect_pb2_grpc.DetectStub(channel)
            if call == "Analyse":
                stream = stub.Analyse()
                await stream.done_writing()
                return (await _refusal(stream)).reason
            request = pb.EnrolRequest() if call == "Enrol" else pb.DescribeRequest()
            return (await _refusal(getattr(stub, call)(request))).reason

    assert await reason(None, "Analyse") is Reason.TOKEN_MISSING
    assert await reason("nonsense", "Describe") is Reason.TOKEN_INVALID
    expired = detect.token(Role.SERVICE_GATEWAY, made_ago=timedelta(hours=1))
    assert await reason(expired, "Enrol") is Reason.TOKEN_EXPIRED
    stranger = TokenIssuer(generate_issuer_key()[0])
    forged = stranger.issue(Role.SERVICE_INGEST, subject="test", lifetime=timedelta(minutes=1))
    assert await reason(forged, "Analyse") is Reason.TOKEN_INVALID
    assert await reason(detect.token(Role.OPERATOR), "Enrol") is Reason.NOT_ALLOWED
    assert await reason(detect.token(Role.SERVICE_INGEST), "Enrol") is Reason.NOT_ALLOWED
    assert await reason(detect.token(Role.SERVICE_GATEWAY), "Analyse") is Reason.NOT_ALLOWED


def _spans_of(detect: _Detect, traceparent: str) -> dict[str, Span]:
    return {s.name: s for s in list(detect.spans.spans) if s.trace == traceparent.split("-")[1]}


async def test_each_frame_is_a_span_below_the_one_that_sent_it(
    ingest: detect_pb2_grpc.DetectStub, detect: _Detect
) -> None:
    stream = await _Stream(ingest).open()
    await stream.send(jpeg=_jpeg(faces.astronaut()), traceparent=_TRACE)
    stream.cancel()
    deadline = time.monotonic() + 20
    # A child is exported before its parent has ended.
    while not {"detect.analyse", "detect.faces"} <= (spans := _spans_of(detect, _TRACE)).keys():
        assert time.monotonic() < deadline, "the spans did not arrive"
        await asyncio.sleep(0.1)
    assert spans["detect.analyse"].parent == _TRACE.split("-")[2]
    assert spans["detect.faces"].parent == spans["detect.analyse"].span


async def test_a_crowd_of_streams_shares_the_processors_fairly(ingest: detect_pb2_grpc.DetectStub) -> None:
    streams = [await _Stream(ingest).open(f"c{i}") for i in range(6)]
    picture = _jpeg(faces.astronaut())
    done = [0] * len(streams)
    deadline = time.monotonic() + 2

    async def run(number: int) -> None:
        while time.monotonic() < deadline:
            await streams[number].send(jpeg=picture)
            done[number] += 1

    await asyncio.gather(*map(run, range(len(streams))))
    assert min(done) >= max(done) - 3
    for stream in streams:
        stream.cancel()


def test_nothing_personal_in_the_log_and_nothing_at_home(detect: _Detect) -> None:
    assert list((detect.folder / "home").rglob("*")) == []
    assert sorted(p.name for p in detect.folder.iterdir()) == ["address", "detect.sock", "home", "issuer.pub", "log"]
    log = detect.log()
    assert '"models_ready"' in log
    assert '"stream_opened"' in log
    for word in ("Traceback", "FutureWarning", 'template": ', "eyJ", "array("):
        assert word not in log, word


async def test_it_stops_cleanly_and_tells_every_stream_so(ingest: detect_pb2_grpc.DetectStub, detect: _Detect) -> None:
    """The last test of this module: it ends the process."""
    busy, idle = await _Stream(ingest).open("busy"), await _Stream(ingest).open("idle")
    await busy.send(jpeg=_jpeg(faces.astronaut()))
    detect.process.send_signal(signal.SIGTERM)
    for error in (await _end_of(busy), await _end_of(idle)):
        told = to_overt_error(error)
        assert isinstance(told, Rejected)
        assert told.reason is Reason.DETECT_AWAY
    assert await asyncio.to_thread(detect.process.wait, 15) == 0
    assert not (detect.folder / "detect.sock").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"OVERT_MODEL_PACK": "buffalo"}, ["there is no model pack 'buffalo'"]),
        ({"OVERT_EXECUTION_PROVIDER": "Abacus"}, ["OVERT_EXECUTION_PROVIDER: there is no Abacus here"]),
        ({"OVERT_DEVICE": "ABACUS"}, ["OVERT_DEVICE: OpenVINO finds no ABACUS here"]),
        (
            {"OVERT_ENGINE": "onnxruntime", "OVERT_PRECISION": "bf16"},
            ["OVERT_ENGINE=onnxruntime, OVERT_PRECISION=bf16", "Set OVERT_PRECISION to auto or f32"],
        ),
        ({"OVERT_MODEL_PACK": "buffalo_l"}, ["non-commercial", "overt models build buffalo_l", "--accept-licence"]),
        (
            {"OVERT_WORKERS": "many", "OVERT_SMALLEST_FACE_PX": "12", "OVERT_LISTEN": "nowhere"},
            ["3 faults", "OVERT_WORKERS", "OVERT_SMALLEST_FACE_PX", "OVERT_LISTEN"],
        ),
        ({"OVERT_LISTEN": "0.0.0.0:0"}, ["OVERT_LISTEN", "TLS"]),
    ],
    ids=["pack", "provider", "device", "precision", "licence", "three faults", "open door"],
)
def test_what_cannot_run_says_why_and_exits_with_2(
    tmp_path: Path, prepared: PreparedPack, change: dict[str, str], told: list[str]
) -> None:
    (tmp_path / "issuer.pub").write_bytes(generate_issuer_key()[1])
    environment = {**_environment(tmp_path, prepared), "OVERT_LISTEN": "127.0.0.1:0", **change}
    process = _start(tmp_path, environment)
    assert process.wait(60) == 2
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    for words in told:
        assert words in said


def test_a_changed_model_file_stops_the_start_and_a_missing_pack_is_built(
    tmp_path: Path, prepared: PreparedPack
) -> None:
    (tmp_path / "issuer.pub").write_bytes(generate_issuer_key()[1])
    models = tmp_path / "models"
    environment = _environment(tmp_path, prepared, OVERT_MODEL_DIR=str(models), OVERT_LISTEN="127.0.0.1:0")
    process = _start(tmp_path, environment)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "address").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.terminate()
        assert process.wait(20) == 0
    (path,) = models.rglob("recogniser.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    process = _start(tmp_path, environment)
    assert process.wait(60) == 2
    said = (tmp_path / "log").read_text()
    assert str(path) in said
    assert "overt models build" in said
    assert path.read_bytes() == content, "a damaged file is never put right behind anybody's back"
