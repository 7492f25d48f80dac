"""examples/push_camera.py drives the same alert over gRPC push, and examples/follow_alerts.py sees it; its errors are
one line, and it speaks TLS."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import av
import grpc
import numpy as np
import pytest
import yaml
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from overt.permissions import Role
from overt_lab.demo.cli import SEED, THRESHOLD, builtin_list
from overt_lab.demo.people import demo_people
from overt_lab.demo.run import CAMERA, DEPLOYMENT, Outcome, Stage
from overt_lab.demo.scene import FRAMES_PER_SECOND, HEIGHT, WIDTH, plan, render
from support.machine import gateway, running, until

pytestmark = pytest.mark.e2e


def _write_clip(path: Path) -> None:
    """The walk of one listed person, as a video file."""
    people = [p for p in demo_people() if p.name == "alder"]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(FRAMES_PER_SECOND))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 8_000_000
        for picture in render(plan(people, SEED), SEED):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


async def test_the_example_camera_raises_the_alert(tmp_path: Path, root: Path) -> None:
    clip = tmp_path / "clip.mp4"
    _write_clip(clip)
    outcome = Outcome(expected=["alder"])
    async with running(tmp_path / "data") as machine:
        stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
        await stage.open(builtin_list())
        async with gateway(machine, Role.ADMINISTRATOR) as administrator:
            token = await administrator.camera_token(DEPLOYMENT, CAMERA)
        dashboard = await asyncio.create_subprocess_exec(
            sys.executable,
            str(root / "examples/follow_alerts.py"),
            machine.gateway_url,
            DEPLOYMENT,
            env={**os.environ, "OVERT_TOKEN": machine.token(Role.OPERATOR)},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with stage.watching(lambda alert: None):
                camera = await asyncio.create_subprocess_exec(
                    sys.executable,
                    str(root / "examples/push_camera.py"),
                    str(clip),
                    machine.camera_address,
                    DEPLOYMENT,
                    CAMERA,
                    env={**os.environ, "OVERT_CAMERA_TOKEN": token},
                    stdout=asyncio.subprocess.PIPE,
                )
                out, _ = await asyncio.wait_for(camera.communicate(), 60)
                await until("the alert", lambda: outcome.alerted == {"alder"})
        finally:
            dashboard.terminate()
            seen, _ = await dashboard.communicate()
        await stage.end()
    assert camera.returncode == 0
    assert b"OUTCOME_ACCEPTED" in out
    assert b"alder" in seen
    assert outcome.conserved
    assert len((root / "examples/push_camera.py").read_text().splitlines()) < 60


def _push(root: Path, clip: Path, address: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "examples/push_camera.py", clip, address, "dep", "cam", *more],
        env={**os.environ, "OVERT_CAMERA_TOKEN": "a token"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _refused(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_what_is_no_video_is_told_in_one_line(tmp_path: Path, root: Path) -> None:
    text, empty, sound = tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "sound.wav"
    text.write_text("not a video")
    empty.touch()
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    for clip in (text, empty, sound, tmp_path, tmp_path / "none.mp4"):
        line = _refused(_push(root, clip, "127.0.0.1:1"))
        assert line == f"{clip} is not a video that can be read: give an MP4, MKV, AVI, MOV or GIF file"


def _damage(clip: Path) -> None:
    """The index stays, the pictures behind the first third are nothing."""
    data = bytearray(clip.read_bytes())
    start, end = data.index(b"mdat"), data.index(b"moov") - 8
    third = (end - start) // 3
    data[start + third : end] = bytes(end - start - third)
    clip.write_bytes(data)


class _Door(ingest_pb2_grpc.CameraIngestServicer):
    async def StreamFrames(  # noqa: N802 - the name is the contract's
        self, request_iterator: AsyncIterator[ingest_pb2.Frame], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ingest_pb2.Receipt]:
        async for frame in request_iterator:
            yield ingest_pb2.Receipt(sequence=frame.sequence, outcome=ingest_pb2.Receipt.OUTCOME_ACCEPTED)


async def test_it_speaks_tls_with_an_operations_certificate(tmp_path: Path, root: Path) -> None:
    clip, authority = tmp_path / "clip.mp4", tmp_path / "ca.crt"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            grey = np.full((64, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        container.mux(stream.encode())
    name = ("--name", "ingest=127.0.0.1")
    script = [sys.executable, root / "scripts/operation_secrets.py", "--namespace", "here", *name]
    made = await asyncio.to_thread(subprocess.run, script, capture_output=True, text=True, timeout=60, check=True)
    (secret,) = (d for d in yaml.safe_load_all(made.stdout) if d["metadata"]["name"] == "overt-tls-ingest")
    files = {name: base64.b64decode(text) for name, text in secret["data"].items()}
    authority.write_bytes(files["ca.crt"])
    server = grpc.aio.server()
    ingest_pb2_grpc.add_CameraIngestServicer_to_server(_Door(), server)
    pair = grpc.ssl_server_credentials([(files["tls.key"], files["tls.crt"])])
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', pair)}"
    await server.start()
    try:
        done = await asyncio.to_thread(_push, root, clip, address, str(authority))
        assert (done.returncode, done.stdout) == (0, "{'OUTCOME_ACCEPTED': 5}\n"), done.stderr
        none = await asyncio.to_thread(_push, root, clip, address, str(tmp_path / "none.crt"))
        assert "the CA file cannot be read" in _refused(none)
        assert (await asyncio.to_thread(_push, root, clip, address)).returncode == 1, "in the clear it is not let in"
        _damage(clip)
        cut = await asyncio.to_thread(_push, root, clip, address, str(authority))
        assert "the clip is damaged further on" in _refused(cut)
    finally:
        await server.stop(0)
