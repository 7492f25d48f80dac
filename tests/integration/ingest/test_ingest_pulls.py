"""Cameras that are pulled: a real RTSP server, lost, stalled and back; and an HTTP source."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc.aio
import pytest
from overt.api.control.v1 import control_pb2 as control
from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.testing.ingest import FakeDetect
from support.http_camera import http_camera
from support.ingest_site import CAMERA, Site, jpeg, site
from support.rtsp import RtspServer, need_rtsp
from support.tls import Authority
from support.videos import encoded, moving, transport_stream
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


@asynccontextmanager
async def _sent_once(head: bytes, pieces: list[bytes], *, silent_before: int = -1) -> AsyncIterator[str]:
    """The address of a camera that sends these at its own pace, once, and then nothing more to anybody."""
    left = list(pieces)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            if left:
                writer.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\n")
            while left:
                if len(left) == len(pieces) - silent_before:
                    await asyncio.sleep(1.0)
                writer.write(left.pop(0))
                await writer.drain()
                await asyncio.sleep(0.04)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/video"


_TS = b"Content-Type: video/mp2t\r\n"


def _part(picture: bytes) -> bytes:
    return b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture + b"\r\n"


@asynccontextmanager
async def _slow(detect: FakeDetect, seconds: float) -> AsyncIterator[None]:
    """It answers no sooner than that."""

    async def hold_on() -> None:
        while True:
            detect.answering.clear()
            await asyncio.sleep(seconds)
            detect.answering.set()
            await asyncio.sleep(0.001)

    holding = asyncio.create_task(hold_on())
    try:
        yield
    finally:
        holding.cancel()
        detect.answering.set()


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
async def test_what_nobody_would_look_at_is_not_decoded_and_every_packet_is_in_the_books(
    tmp_path: Path, codec: str
) -> None:
    if codec == "h264":
        head, pieces = _TS, transport_stream(encoded(moving(100), bf="3", g="25"))
    else:
        head = b"Content-Type: multipart/x-mixed-replace; boundary=part\r\n"
        pieces = [_part(jpeg(seed=number)) for number in range(100)]
    async with site(tmp_path) as (ingest, buses), _sent_once(head, pieces) as url, _slow(ingest.detect, 0.2):
        await ingest.activate(buses.gateway, cameras=_pulled(url))
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_lost")
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
    assert account.conserved()
    assert account.frames.entered == len(pieces)
    assert account.frames.reasons["superseded/not_decoded"] >= 10
    assert account.frames.of("no_face") >= 10
    assert account.frames.of("rejected") == 0


async def test_what_a_decoder_held_back_for_too_long_is_not_shown_to_anybody(tmp_path: Path) -> None:
    pieces = transport_stream(encoded(moving(60), bf="3", g="60"))
    async with site(tmp_path) as (ingest, buses), _sent_once(_TS, pieces, silent_before=30) as url:
        await ingest.activate(buses.gateway, cameras=_pulled(url))
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_lost")
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
    assert account.conserved()
    assert account.frames.entered == 60
    assert 1 <= account.frames.reasons["superseded/not_decoded"] <= 4, "two or three are held back"


async def test_a_camera_that_changes_its_resolution_goes_on(tmp_path: Path) -> None:
    small, large = encoded(moving(30, 320, 240), bf="2"), encoded(moving(30, 640, 480), tune="zerolatency")
    for packet in large:
        packet.pts, packet.dts = (packet.pts or 0) + 30, (packet.dts or 0) + 30
    pieces = transport_stream([*small, *large])
    async with site(tmp_path) as (ingest, buses), _sent_once(_TS, pieces) as url:
        await ingest.activate(buses.gateway, cameras=_pulled(url))
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_lost")
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
    sizes = [(seen.width, seen.height) for seen in ingest.detect.frames]
    assert set(sizes) == {(320, 240), (640, 480)}
    assert sizes == sorted(sizes), "first the one, then the other"
    assert min(sizes.count(size) for size in set(sizes)) > 10
    assert len(ingest.detect.openings) == 1, "its tracks go on"
    assert account.conserved()
    assert account.frames.entered == 60


async def test_a_camera_that_speaks_http_is_pulled(tmp_path: Path) -> None:
    """Motion JPEG, as many cameras send it."""
    async with http_camera(lambda number: jpeg(seed=number)) as url, site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway, cameras=_pulled(url))
        await ingest.sight(pb.CameraStatus.SIGHT_SEEING)
        await until(lambda: len(ingest.detect.frames) >= 10)
        assert {(f.kind, f.width, f.height) for f in ingest.detect.frames} == {("raw", 320, 240)}
        assert await ingest.stop() == 0


async def test_a_camera_whose_pictures_are_too_large_is_blind_and_says_why(tmp_path: Path) -> None:
    huge = jpeg(5120, 4096)
    async with http_camera(lambda number: huge) as url, site(tmp_path) as (ingest, buses):
        await ingest.activate(buses.gateway, cameras=_pulled(url))
        await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="picture_too_large")
        assert await ingest.stop() == 0
        (account,) = await ingest.accounts(buses.gateway)
    assert account.conserved()
    assert account.frames.entered == account.frames.reasons["rejected/picture_too_large"] > 0
    assert ingest.detect.frames == []


async def test_a_camera_that_speaks_tls_has_to_show_whose_it_is(tmp_path: Path) -> None:
    known = Authority(tmp_path / "known")
    environment = {"OVERT_CAMERA_CA_FILE": str(known.file)}

    async with AsyncExitStack() as open_cameras, site(tmp_path, environment=environment) as (ingest, buses):

        async def camera(tls: ssl.SSLContext) -> str:
            return await open_cameras.enter_async_context(http_camera(lambda number: jpeg(seed=number), tls=tls))

        servers = {
            CAMERA: known.server(),
            "stranger": Authority(tmp_path / "stranger").server(),
            "elsewhere": known.server("127.0.0.2"),
        }
        cameras = [control.Camera(camera_id=name, source_url=await camera(tls)) for name, tls in servers.items()]
        await ingest.put(buses.gateway, control.Deployment.STATE_ACTIVE, cameras=cameras)
        await ingest.sight(pb.CameraStatus.SIGHT_SEEING)
        for name in ("stranger", "elsewhere"):
            await ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="source_lost", camera=name)
        assert "camera_not_verified" not in ingest.log
        assert await ingest.stop() == 0
        entered = {account.camera: account.frames.entered for account in await ingest.accounts(buses.gateway)}
    assert entered.pop(CAMERA) > 0
    assert entered == {"stranger": 0, "elsewhere": 0}
