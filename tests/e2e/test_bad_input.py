"""Bad input: each gets a clear answer with a reason code, and every service lives on."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import cv2
import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import simplejpeg
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from overt.auth import TokenIssuer, generate_issuer_key
from overt.models import default_directory, ensure
from overt.permissions import Role
from overt_lab.archive import COLUMNS, ListImage, demo_row, pack
from overt_lab.demo.cli import THRESHOLD, builtin_list
from overt_lab.demo.people import demo_people
from overt_lab.demo.run import CAMERA, DEPLOYMENT, Outcome, Stage
from overt_lab.machine import Machine
from support.machine import gateway, running, until

pytestmark = pytest.mark.e2e
on_the_machine = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """A system with an active deployment that has one camera."""
    async with running(tmp_path_factory.mktemp("bad")) as machine:
        stage = Stage(machine, threshold=THRESHOLD, outcome=Outcome())
        await stage.open(builtin_list())
        await until("the camera's door is open", lambda: _takes_frames(machine))
        pids = {name: child.pid for name, child in machine.supervisor.children.items()}
        yield machine
        assert {name: child.pid for name, child in machine.supervisor.children.items()} == pids, "nobody died"
        assert machine.deaths == []


# --- frames -----------------------------------------------------------------------------------------------------


def _jpeg(width: int = 320, height: int = 240) -> bytes:
    picture = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return bytes(simplejpeg.encode_jpeg(picture, colorspace="BGR"))


def _claiming(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size: what a decompression bomb looks like."""
    data = bytearray(_jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


async def _push(
    machine: Machine, *pictures: bytes, token: str | None = None, **metadata: str
) -> list[ingest_pb2.Receipt]:
    token = token or machine.token(Role.CAMERA, deployment=DEPLOYMENT, camera=CAMERA)
    headers = {"authorization": f"Bearer {token}", "overt-deployment": DEPLOYMENT, "overt-camera": CAMERA}
    headers |= {key.replace("_", "-"): value for key, value in metadata.items()}
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(machine.camera_address, options=options) as channel:
        call = ingest_pb2_grpc.CameraIngestStub(channel).StreamFrames(metadata=tuple(headers.items()))
        receipts = []
        for number, jpeg in enumerate(pictures, start=1):
            frame = ingest_pb2.Frame(sequence=number, jpeg=jpeg)
            frame.captured_at.GetCurrentTime()
            await call.write(frame)
            receipt = await asyncio.wait_for(call.read(), 10)
            if receipt is grpc.aio.EOF:
                break
            receipts.append(receipt)
        await call.done_writing()
        while (receipt := await asyncio.wait_for(call.read(), 10)) is not grpc.aio.EOF:
            receipts.append(receipt)
        return receipts


async def _takes_frames(machine: Machine) -> bool:
    """A camera is told to come again while its door is about to open."""
    try:
        return bool(await _push(machine, _jpeg()))
    except grpc.aio.AioRpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL):
            raise
        return False


@on_the_machine
@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"this is not a picture", "not_a_jpeg"),
        (b"", "not_a_jpeg"),
        (_jpeg()[: len(_jpeg()) // 2], "truncated"),
        (_jpeg(1, 1), "picture_too_small"),
        (_claiming(20_000, 20_000), "picture_too_large"),
    ],
    ids=["garbage", "empty", "truncated", "1x1", "20000x20000"],
)
async def test_a_bad_frame_is_rejected_and_the_next_one_taken(machine: Machine, picture: bytes, reason: str) -> None:
    bad, good = await _push(machine, picture, _jpeg())
    assert bad.outcome == ingest_pb2.Receipt.OUTCOME_REJECTED
    assert bad.reason == reason
    assert good.outcome == ingest_pb2.Receipt.OUTCOME_ACCEPTED


@on_the_machine
async def test_a_message_of_100_megabytes_ends_the_stream_only(machine: Machine) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _push(machine, bytes(100 * 1024 * 1024))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    (receipt,) = await _push(machine, _jpeg())
    assert receipt.outcome == ingest_pb2.Receipt.OUTCOME_ACCEPTED


# --- who asks ---------------------------------------------------------------------------------------------------


def _expired(machine: Machine, role: Role, **binding: str) -> str:
    """Of this machine's issuer, an hour ago."""
    issuer = TokenIssuer(machine.layout.issuer_key.read_bytes(), now=lambda: datetime.now(UTC) - timedelta(hours=1))
    return issuer.issue(role, subject="late", lifetime=timedelta(minutes=1), **binding)


async def _refusal(machine: Machine, **changed: str) -> tuple[grpc.StatusCode, str, str]:
    """Only reads: a write on a call that the server has already ended hides why it ended it."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _push(machine, **changed)
    trailing = dict(refused.value.trailing_metadata() or ())
    return refused.value.code(), str(trailing.get("overt-reason", "")), refused.value.details() or ""


@on_the_machine
async def test_cameras_are_held_to_their_token(machine: Machine) -> None:
    other = machine.token(Role.CAMERA, deployment=DEPLOYMENT, camera="other")
    expired = _expired(machine, Role.CAMERA, deployment=DEPLOYMENT, camera=CAMERA)
    elsewhere = machine.token(Role.CAMERA, deployment="nowhere", camera=CAMERA)
    person = machine.token(Role.OPERATOR)
    cases = {
        "token_invalid": {"token": "wrong"},
        "token_expired": {"token": expired},
        "not_allowed": {"token": person},
        "wrong_camera": {"token": other},
        "unknown_camera": {"token": other, "overt_camera": "other"},
        "unknown_deployment": {"token": elsewhere, "overt_deployment": "nowhere"},
    }
    for reason, changed in cases.items():
        code, found, details = await _refusal(machine, **changed)
        assert found == reason, (reason, code, details)
        assert details
    async with grpc.aio.insecure_channel(machine.camera_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in ingest_pb2_grpc.CameraIngestStub(channel).StreamFrames(iter(())):
                pass
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


@on_the_machine
async def test_rest_answers_in_words(machine: Machine) -> None:
    async with httpx.AsyncClient(base_url=machine.gateway_url, trust_env=False) as http:
        for headers, status, reason in [
            ({}, 401, "token_missing"),
            ({"Authorization": "Bearer x"}, 401, "token_invalid"),
            (
                {"Authorization": f"Bearer {_expired(machine, Role.OPERATOR)}"},
                401,
                "token_expired",
            ),
            ({"Authorization": f"Bearer {machine.token(Role.AUDITOR)}"}, 403, "not_allowed"),
        ]:
            answer = await http.post(f"/v1/deployments/{DEPLOYMENT}/end", headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (status, reason)
            assert answer.json()["detail"]
        operator = {"Authorization": f"Bearer {machine.token(Role.OPERATOR)}"}
        answer = await http.get("/v1/deployments/nowhere/alerts", headers=operator)
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_deployment")
        answer = await http.get(f"/v1/deployments/{DEPLOYMENT}?token=abc", headers=operator)
        assert answer.status_code == 400, "no token in a URL"


# --- enrolment --------------------------------------------------------------------------------------------------


async def _draft(machine: Machine, name: str) -> str:
    async with gateway(machine, Role.APPLICANT) as applicant:
        made = await applicant.create_deployment(id=name, name=name, cameras=[{"id": "c", "name": "c"}])
    return str(made["id"])


@on_the_machine
async def test_pictures_that_cannot_be_enrolled_are_named(machine: Machine) -> None:
    group = files("insightface").joinpath("data/images/t1.jpg").read_bytes()
    empty = cv2.imencode(".jpg", np.full((300, 300, 3), 128, np.uint8))[1].tobytes()
    good = builtin_list()[0].content
    pictures = {
        "six.jpg": group,
        "nobody.jpg": empty,
        "text.jpg": b"hello",
        "half.jpg": good[: len(good) // 2],
        "good.jpg": good,
    }
    images = [ListImage(demo_row(name.split(".")[0], name), data) for name, data in pictures.items()]
    async with gateway(machine, Role.APPLICANT) as applicant:
        answer = await applicant.import_list(await _draft(machine, "enrolment"), pack(images))
    refused = {row["image"]: row["reason"] for row in answer["refused"]}
    assert refused["six.jpg"] == "several_faces"
    assert refused["nobody.jpg"] == "no_face"
    assert refused["text.jpg"] == "not_a_picture"
    assert refused["half.jpg"] in {"truncated", "not_a_picture"}
    assert answer["size"] == 1
    assert all(row["message"] for row in answer["refused"])


@on_the_machine
@pytest.mark.parametrize("name", ["../../climbs.jpg", "/etc/climbs.jpg", "a/../../climbs.jpg"])
async def test_an_archive_that_climbs_out_is_refused_whole(machine: Machine, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, builtin_list()[0].content)
        row = demo_row("x", name)
        archive.writestr("manifest.csv", ",".join(COLUMNS) + "\n" + ",".join(row[c] for c in COLUMNS) + "\n")
    deployment = await _draft(machine, "climb-" + str(abs(hash(name)) % 10_000))
    token = machine.token(Role.APPLICANT)
    async with httpx.AsyncClient(base_url=machine.gateway_url, trust_env=False) as http:
        answer = await http.post(
            f"/v1/deployments/{deployment}/list/import",
            files={"archive": ("list.zip", buffer.getvalue())},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert (answer.status_code, answer.json()["reason"]) == (422, "unsafe_path")


# --- settings and the machine -----------------------------------------------------------------------------------


def _start(service: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {k: v for k, v in os.environ.items() if not k.startswith("OVERT_")}
    return subprocess.run(
        [sys.executable, "-m", f"overt_{service}"],
        env={**base, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def issuer_public(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("issuer") / "issuer.pub"
    path.write_bytes(generate_issuer_key()[1])
    return str(path)


def test_three_faults_in_the_settings_are_all_named(issuer_public: str) -> None:
    done = _start(
        "detect",
        OVERT_ISSUER_PUBLIC_KEY_FILE="/no/such/key.pem",
        OVERT_LOG_LEVEL="loud",
        OVERT_DRAIN_SECONDS="soon",
    )
    assert done.returncode == 2
    for name in ("OVERT_ISSUER_PUBLIC_KEY_FILE", "OVERT_LOG_LEVEL", "OVERT_DRAIN_SECONDS"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named(issuer_public: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = _start("detect", OVERT_ISSUER_PUBLIC_KEY_FILE=issuer_public, OVERT_LISTEN=address)
    assert done.returncode == 2
    assert address in done.stderr
    assert "Traceback" not in done.stderr


def test_a_non_loopback_address_needs_tls(issuer_public: str) -> None:
    done = _start("detect", OVERT_ISSUER_PUBLIC_KEY_FILE=issuer_public, OVERT_LISTEN="0.0.0.0:0")
    assert done.returncode == 2
    assert "TLS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a directory")
    overt = Path(sys.executable).parent / "overt"
    done = subprocess.run(
        [overt, "up", "--data", str(blocker / "data")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "not writable" in done.stderr + done.stdout
    assert "--data" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_model_file_with_one_byte_changed(tmp_path: Path, issuer_public: str) -> None:
    source = default_directory()
    ensure("open", source)
    copy = tmp_path / "models"
    subprocess.run(["cp", "-r", str(source), str(copy)], check=True)
    victim = max(copy.rglob("*.onnx"), key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = _start("detect", OVERT_ISSUER_PUBLIC_KEY_FILE=issuer_public, OVERT_MODEL_DIR=str(copy))
    assert done.returncode == 2
    assert victim.name in done.stderr
    assert "overt models build" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_people_of_the_demo_are_eight() -> None:
    assert len({p.name for p in demo_people()}) == 8
