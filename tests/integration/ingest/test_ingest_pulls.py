"""Cameras that are pulled: a real RTSP server, lost, stalled and back; and an HTTP source."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc.aio
import pytest
from overt.api.control.v1 import control_pb2 as control
from overt.api.ingest.v1 import ingest_pb2 as pb
from support.ingest_site import CAMERA, Site, jpeg, site
from support.rtsp import RtspServer, need_rtsp
from support.waiting import until

pytestmark = pytest.mark.integration

SECRET = "hunter2-canary"


@pytest.fixture
def camera_source(tmp_path: Path) -> Iterator[RtspServer]:
    need_rtsp()
    server = RtspServer(tmp_path, user="viewer", password=SECRET)
    server.start()
    yield server
    server.kill()


def _pulled(url: str) -> list[control.Camera]:
    return [control.Camera(camera_id=CAMERA, source_url=url)]


async def test_an_rtsp_camera_is_pulled_lost_stalled_and_pulled_again(
    tmp_path: Path, camera_source: RtspServer
) -> None:
    async with site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway, cameras=_pulled(camera_source.url))
        await ingest.sight(pb.CameraStatus.SIGHT_SEEING)
        await until(lambda: len(ingest.detect.frames) >= 25)
        seen = ingest.detect.frames[-1]
        assert (seen.kind, seen.width, seen.height, seen.bytes) == ("raw", 320, 240, 320 * 240 * 3)
        numbers = [frame.sequence for frame in ingest.detect.frames]
        assert numbers == sorted(set(numbers))
        await until(lambda: 15 < ingest.statuses[-1].frames_per_second < 35)

        camera_source.kill()
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_lost")
        camera_source.start()
        await ingest.sight(pb.CameraStatus.SIGHT_SEEING)

        camera_source.pause()
        began = asyncio.get_running_loop().time()
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_stalled")
        assert asyncio.get_running_loop().time() - began < 4
        await until(lambda: '"source_stalled"' in ingest.log, seconds=12)
        assert 4 < asyncio.get_running_loop().time() - began < 9, "the watchdog: 5 s without a frame"
        camera_source.resume()
        await ingest.sight(pb.CameraStatus.SIGHT_SEEING)

        await _nobody_may_push(ingest)
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
        assert account.final
        assert account.conserved()
        assert account.frames.of("no_face") > 25
        for text in (ingest.log, str(ingest.statuses)):
            assert SECRET not in text
            assert "viewer" not in text


async def _nobody_may_push(ingest: Site) -> None:
    async with ingest.stream() as call:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert dict(refused.value.trailing_metadata() or ())["overt-reason"] == "camera_busy"


async def test_a_wrong_password_and_a_dead_address_are_told_without_the_url(
    tmp_path: Path, camera_source: RtspServer
) -> None:
    wrong = camera_source.url.replace(SECRET, "wrong-canary")
    dead = f"rtsp://viewer:{SECRET}@127.0.0.1:1/live"
    file = "file:///etc/hostname"
    cameras = [
        control.Camera(camera_id="wrong", source_url=wrong),
        control.Camera(camera_id="dead", source_url=dead),
        control.Camera(camera_id="file", source_url=file),
    ]
    async with site(tmp_path) as (ingest, buses):
        await ingest.put(buses.gateway, control.Deployment.STATE_ACTIVE, cameras=cameras)
        for camera in ("wrong", "dead"):
            await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_lost", camera=camera)
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="bad_field", camera="file")
        assert ingest.process is not None
        assert ingest.process.poll() is None
        assert ingest.detect.frames == []
        assert await ingest.stop() == 0
        for text in (ingest.log, str(ingest.statuses)):
            for secret in (SECRET, "wrong-canary", "viewer", "/etc/hostname", "rtsp://"):
                assert secret not in text


async def test_a_camera_that_speaks_http_is_pulled(tmp_path: Path) -> None:
    """Motion JPEG, as many cameras send it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=part\r\n\r\n")
        with suppress(ConnectionError):
            for number in itertools.count(1):
                picture = jpeg(seed=number)
                head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                writer.write(head.encode() + picture + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.04)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway, cameras=_pulled(f"http://127.0.0.1:{port}/video"))
        await ingest.sight(pb.CameraStatus.SIGHT_SEEING)
        await until(lambda: len(ingest.detect.frames) >= 10)
        assert {(f.kind, f.width, f.height) for f in ingest.detect.frames} == {("raw", 320, 240)}
        assert await ingest.stop() == 0
    server.close()
