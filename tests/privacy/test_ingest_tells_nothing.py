"""Of a passer-by ingest leaves nothing: in its log, its receipts, on the bus's disk, in a file, or held on to."""

from __future__ import annotations

import asyncio
import gc
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from overt.api.control.v1 import control_pb2 as control
from overt.api.detect.v1.detect_pb2_grpc import add_DetectServicer_to_server
from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.crypto import sealing
from overt.ids import new_epoch
from overt.permissions import Role
from overt.runtime import SystemClock
from overt.subjects import EVIDENCE
from overt.testing.bus import MemoryBus
from overt.testing.forensics import scan
from overt.testing.ingest import FakeDetect, FakeMatch, face, nobody_matches, two_agree
from overt.testing.rpc import serving
from overt_ingest.adapters.pixels import pushed_picture
from overt_ingest.app import RealParts
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.frame import Frame
from overt_ingest.domain.sighting import Exhibit, Sighting
from overt_ingest.opening import Opening
from support.ingest_site import frame, jpeg, site
from support.waiting import until

pytestmark = pytest.mark.privacy

_RANDOM = np.random.default_rng(11)
_VECTOR = _RANDOM.normal(size=128)
TEMPLATE = (_VECTOR / np.linalg.norm(_VECTOR)).astype("<f4").tobytes()


async def test_after_a_run_without_a_match_nothing_is_on_any_disk_or_in_any_word(tmp_path: Path) -> None:
    pictures = [jpeg(seed=number) for number in range(1, 31)]
    canaries = [picture[len(picture) // 2 :][:48] for picture in pictures]
    async with site(tmp_path) as (ingest, buses):
        ingest.detect.find = lambda seen: [
            face(1, template=TEMPLATE),
            face(2 + seen.sequence // 10, template=TEMPLATE, box=(10, 10, 50, 60)),
        ]
        # Some are searched in vain, some wait for a second shot that does not agree.
        pending = two_agree("entry")
        ingest.match.judge = lambda request: (
            nobody_matches(request) if len(request.probes) > 1 or len(ingest.match.searches) % 3 else pending(request)
        )
        await ingest.activate(buses.gateway)
        token = ingest.camera_token()
        async with ingest.stream(token=token) as call:
            for number, picture in enumerate(pictures, start=1):
                await call.write(frame(number, picture))
                await until(lambda sent=number: len(ingest.detect.frames) == sent)  # type: ignore[misc]
        (before,) = await ingest.accounts(buses.gateway)
        assert not before.final
        await ingest.put(buses.gateway, control.Deployment.STATE_ENDED)
        await ingest.sight(pb.CameraStatus.SIGHT_CLOSED)
        (account,) = await ingest.accounts(buses.gateway)
        assert account.conserved()
        assert account.frames.retained == 0
        assert account.tracks.of("unconfirmed") > 0, "sightings were held, and destroyed"
        assert ingest.evidence == []
        assert scan([tmp_path]) == []
        assert [f for f in scan([tmp_path, Path("/dev/shm")], pixels=canaries) if f.what == "pixels"] == []
        service_token = (tmp_path / "token").read_text()
        for secret in (token, service_token, "Bearer"):
            assert secret not in ingest.log
        (tmp_path / "planted").write_bytes(pictures[3])
        assert {f.what for f in scan([tmp_path], pixels=canaries)} >= {"jpeg", "pixels"}, "the scanner sees a frame"


async def test_when_its_life_is_over_nobody_holds_on_to_a_frame(tmp_path: Path) -> None:
    """In one process, with the real adapters: real gRPC to a fake detect, a bus in memory."""
    bus = MemoryBus()
    await bus.steward.ensure_operation()
    await bus.steward.ensure("dep")
    match = FakeMatch(two_agree("11111111-1111-4111-8111-111111111111"))
    await match.serve(bus)
    detect = FakeDetect(
        lambda seen: [face(1, template=TEMPLATE)] if seen.sequence > 5 else [face(2, refused="blurred")]
    )
    _, public = sealing.generate_key_pair()
    async with serving(lambda server: add_DetectServicer_to_server(detect, server)) as served:
        clock = SystemClock()
        parts = RealParts(bus, served.channel(Role.SERVICE_INGEST), clock=clock)
        outbox = asyncio.create_task(parts.outbox.run())
        opening = Opening(
            CameraSpec("dep", "cam", sealing_public_key=public), epoch=new_epoch(), parts=parts, clock=clock
        )
        running = asyncio.create_task(opening.run())
        await until(lambda: opening.accepts)
        visit = opening.camera.visit()
        held = [bytes(bytearray(jpeg(seed=number))) for number in range(1, 9)]
        pictures = [pushed_picture(data) for data in held]
        references = [sys.getrefcount(data) for data in held]
        told: list[int] = []
        for number, picture in enumerate(pictures, start=1):
            visit.admit(
                sequence=number,
                captured_at=datetime.now(UTC),
                picture=lambda taken=picture: taken,  # type: ignore[misc]
                answer=lambda fate, arrival, number=number: told.append(number),  # type: ignore[misc]
            )
            await until(lambda sent=number: len(detect.frames) == sent)  # type: ignore[misc]
        await until(lambda: len(told) == len(held))
        await until(lambda: opening.camera.frames.in_flight == 0)
        assert parts.outbox.waiting == 0
        # One reference fewer each: the picture's own. Nothing else was added anywhere.
        assert [sys.getrefcount(data) for data in held] == [count - 1 for count in references]
        assert all(picture.jpeg is None and picture.size_bytes == 0 for picture in pictures)
        opening.shut()
        await running
        outbox.cancel()
        gc.collect()
        left = [type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, Frame | Sighting | Exhibit)]
        assert left == []
    (stored,) = [s async for s in bus.latest(EVIDENCE, "dep")]
    assert simplejpeg.decode_jpeg_header(held[0])[:2] == (240, 320)
    assert all(data[40:90] not in stored.data for data in held)
    await bus.close()


def test_a_frame_kept_on_purpose_is_noticed() -> None:
    """The check above does see a reference that stays."""
    data = bytes(bytearray(jpeg(seed=1)))
    before = sys.getrefcount(data)
    kept = [pushed_picture(data)]
    assert sys.getrefcount(data) == before + 1
    kept[0].destroy()
    assert sys.getrefcount(data) == before
