"""detect's side of a ring: its real handlers, pool and reader over real gRPC; only the looking is faked."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.errors import Rejected
from overt.permissions import Role
from overt.reasons import Reason
from overt.ring import Lease, Ring, RingDoor
from overt.testing.rpc import serving
from overt_detect.adapters import pixels
from overt_detect.adapters.ring import ATTACH_DEADLINE_S, StreamRing
from overt_detect.analysing import Analysis
from overt_detect.domain.geometry import Region
from overt_detect.handlers import Handlers, Streams
from overt_detect.pool import InferencePool
from overt_detect.ports import Pixels
from support.waiting import until

pytestmark = pytest.mark.integration

WIDTH, HEIGHT = 320, 240
SIZE = WIDTH * HEIGHT * 3 // 2


@dataclass
class Looking:
    """Looks at the picture's middle and remembers its grey level. `then` is called in the pool's thread, while the
    picture is at hand."""

    seen: list[int] = field(default_factory=list)
    then: Callable[[Pixels], None] = lambda shown: None

    def analyse(
        self, decode: Callable[[], Pixels], *, at: float, pending: Collection[int], settled: Collection[int]
    ) -> Analysis:
        shown = decode()
        self.seen.append(int(shown.scaled(Region.whole(shown.width, shown.height), 64, 64)[32, 32].mean()))
        self.then(shown)
        return Analysis((), (), shown.width, shown.height)


class Stream:
    def __init__(self, stub: detect_pb2_grpc.DetectStub) -> None:
        self.call: Any = stub.Analyse()
        self._sequence = 0

    async def open(self, ring_id: str = "") -> bool:
        opening = pb.Opening(deployment="d", camera="c", ring_id=ring_id)
        await self.call.write(pb.AnalyseRequest(opening=opening))
        reply = await self.call.read()
        assert reply.sequence == 0
        return bool(reply.ring_attached)

    async def show(self, slot: pb.Slot | None = None, **frame: Any) -> pb.AnalyseReply:
        self._sequence += 1
        captured = Timestamp()
        captured.FromDatetime(datetime.now(UTC))
        message = pb.FrameToAnalyse(sequence=self._sequence, captured_at=captured, slot=slot, **frame)
        await self.call.write(pb.AnalyseRequest(frame=message))
        reply = await asyncio.wait_for(self.call.read(), 10)
        assert isinstance(reply, pb.AnalyseReply), "the stream has ended"
        assert reply.sequence == self._sequence
        return reply


@dataclass
class Detect:
    stub: detect_pb2_grpc.DetectStub
    looking: Looking
    pool: InferencePool

    def stream(self) -> Stream:
        return Stream(self.stub)


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ov"))
    yield folder / "ring.sock"
    shutil.rmtree(folder)


@pytest.fixture
async def door(path: Path) -> AsyncIterator[RingDoor]:
    made = RingDoor()
    await made.start(path)
    yield made
    await made.close()


@pytest.fixture
def ring(door: RingDoor) -> Iterator[Ring]:
    made = Ring(3, SIZE)
    door.admit(made)
    yield made
    door.withdraw(made)
    made.close()


@pytest.fixture
async def detect(path: Path) -> AsyncIterator[Detect]:
    looking = Looking()
    pool = InferencePool(workers=2, most_waiting=8)
    handlers = Handlers(
        begin=lambda opening: looking,  # type: ignore[arg-type,return-value]
        enrolment=None,  # type: ignore[arg-type]
        pool=pool,
        streams=Streams(8),
        description=pb.DescribeReply(),
        from_jpeg=pixels.from_jpeg,
        from_raw=pixels.from_raw,
        share_pictures=lambda: StreamRing(path),
        decode_reference=lambda data: np.zeros((1, 1, 3), np.uint8),
        encode_reference=lambda picture: b"",
    )
    async with serving(lambda server: detect_pb2_grpc.add_DetectServicer_to_server(handlers, server)) as served:
        yield Detect(detect_pb2_grpc.DetectStub(served.channel(Role.SERVICE_INGEST)), looking, pool)
    pool.close()


def _grey(ring: Ring, level: int) -> Lease:
    """A leased slot with a picture of one grey: luma 16 to 235, chroma 128."""
    lease = ring.lease()
    assert lease is not None
    planes = np.frombuffer(lease.view, np.uint8)
    planes[: WIDTH * HEIGHT] = level
    planes[WIDTH * HEIGHT :] = 128
    return lease


def _slot(ring: Ring, lease: Lease, **other: Any) -> pb.Slot:
    said = {"ring_id": ring.id, "index": lease.index, "generation": lease.generation, "width": WIDTH, "height": HEIGHT}
    return pb.Slot(**{**said, **other})


def _mapped() -> int:
    """Rings that are mapped read-only in this process: those of detect."""
    return len(re.findall(r" r--s .*memfd:overt-ring", Path("/proc/self/maps").read_text()))


async def test_a_picture_is_looked_at_where_it_lies(detect: Detect, ring: Ring) -> None:
    stream = detect.stream()
    assert await stream.open(ring.id)
    for level, expected in ((16, 0), (235, 255), (126, 128)):
        lease = _grey(ring, level)
        reply = await stream.show(_slot(ring, lease, ring_id=""))
        assert (reply.rejected, reply.width, reply.height) == ("", WIDTH, HEIGHT)
        assert abs(detect.looking.seen[-1] - expected) <= 2
        lease.release()
    raw = pb.RawPicture(width=WIDTH, height=HEIGHT, bgr=bytes([200]) * (WIDTH * HEIGHT * 3))
    assert (await stream.show(raw=raw)).rejected == "", "either way on one stream"
    assert detect.looking.seen[-1] == 200
    stream.call.cancel()


async def test_a_ring_is_attached_when_first_named_and_kept_until_another_is(
    detect: Detect, ring: Ring, door: RingDoor
) -> None:
    stream = detect.stream()
    assert not await stream.open()
    assert (await stream.show(_slot(ring, _grey(ring, 50)))).rejected == ""
    door.withdraw(ring)
    assert (await stream.show(_slot(ring, _grey(ring, 60)))).rejected == "", "it has it"
    assert _mapped() == 1
    other = Ring(2, SIZE)
    door.admit(other)
    assert (await stream.show(_slot(other, _grey(other, 70)))).rejected == ""
    assert _mapped() == 1, "the one before is let go of"
    assert (await stream.show(_slot(ring, _grey(ring, 60)))).rejected == Reason.NO_RING
    stream.call.cancel()
    await until(lambda: _mapped() == 0)
    other.close()


async def test_without_a_ring_the_frame_is_refused_and_the_stream_goes_on(detect: Detect, ring: Ring) -> None:
    stream = detect.stream()
    assert not await stream.open("0" * 32)
    lease = _grey(ring, 50)
    for ring_id in ("", "0" * 32, "nonsense"):
        assert (await stream.show(_slot(ring, lease, ring_id=ring_id))).rejected == Reason.NO_RING
    assert (await stream.show(_slot(ring, lease))).rejected == ""
    stream.call.cancel()


async def test_what_is_no_picture_of_the_ring_is_refused(detect: Detect, ring: Ring) -> None:
    stream = detect.stream()
    assert await stream.open(ring.id)
    lease = _grey(ring, 50)
    for other, reason in (
        ({"index": 3}, Reason.BAD_MESSAGE),
        ({"index": 2**32 - 1}, Reason.BAD_MESSAGE),
        ({"width": WIDTH + 2}, Reason.BAD_MESSAGE),
        ({"width": WIDTH - 1}, Reason.NOT_A_PICTURE),
        ({"width": 0}, Reason.PICTURE_TOO_SMALL),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, Reason.PICTURE_TOO_LARGE),
    ):
        assert (await stream.show(_slot(ring, lease, **other))).rejected == reason
    assert (await stream.show(_slot(ring, lease))).rejected == ""
    stream.call.cancel()


async def test_a_slot_that_changes_while_it_is_looked_at(detect: Detect, ring: Ring) -> None:
    stream = detect.stream()
    assert await stream.open(ring.id)
    lease = _grey(ring, 200)
    detect.looking.then = lambda shown: lease.quarantine()
    reply = await stream.show(_slot(ring, lease))
    assert reply.rejected == Reason.STALE_SLOT
    assert (reply.width, len(reply.faces)) == (0, 0)
    assert await stream.call.read() is not reply
    assert str(await stream.call.code()) == "StatusCode.OK", "what it saw may be in its tracks: it ends"
    await until(lambda: _mapped() == 0)

    stream = detect.stream()
    assert await stream.open(ring.id)
    seen = len(detect.looking.seen)
    assert (await stream.show(_slot(ring, lease))).rejected == Reason.STALE_SLOT
    assert len(detect.looking.seen) == seen, "it was not even looked at"


async def test_a_stream_that_ends_while_a_thread_looks_keeps_the_memory_for_that_thread(
    detect: Detect, ring: Ring
) -> None:
    looking, go_on, looked = threading.Event(), threading.Event(), []

    def hang(shown: Pixels) -> None:
        looking.set()
        go_on.wait(10)
        looked.append(int(shown.part(0, 0, 8, 8).mean()))

    detect.looking.then = hang
    stream = detect.stream()
    assert await stream.open(ring.id)
    lease = _grey(ring, 235)
    showing = asyncio.create_task(stream.show(_slot(ring, lease)))
    await until(looking.is_set)
    stream.call.cancel()
    await asyncio.wait((showing,))
    lease.quarantine()
    assert _mapped() == 1
    go_on.set()
    await until(lambda: _mapped() == 0)
    assert looked, "it went on, without a crash"


async def test_many_streams_that_end_at_any_moment_leave_nothing_mapped(detect: Detect, door: RingDoor) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    random = np.random.default_rng(5)
    detect.looking.then = lambda shown: time.sleep(0.002)

    async def one(pause: float) -> None:
        ring = Ring(3, SIZE)
        door.admit(ring)
        stream = detect.stream()

        async def film() -> None:
            await stream.open(ring.id)
            while True:
                lease = _grey(ring, 100)
                try:
                    await stream.show(_slot(ring, lease))
                finally:
                    lease.quarantine()
                    ring.reclaim()

        filming = asyncio.create_task(film())
        await asyncio.sleep(pause)
        stream.call.cancel()
        filming.cancel()
        await asyncio.gather(filming, return_exceptions=True)
        door.withdraw(ring)
        ring.close()

    for _ in range(8):
        await asyncio.gather(*(one(pause) for pause in random.uniform(0, 0.06, 6)))
    await until(lambda: _mapped() == 0)
    await detect.pool.idle()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 8)  # gRPC keeps a few of its own


async def test_a_door_that_does_not_answer_delays_its_stream_only(detect: Detect, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        stream, other = detect.stream(), detect.stream()
        await other.open()
        began = time.monotonic()
        opening = asyncio.create_task(stream.open("0" * 32))
        raw = pb.RawPicture(width=WIDTH, height=HEIGHT, bgr=bytes(WIDTH * HEIGHT * 3))
        replies = 0
        while not opening.done():
            await other.show(raw=raw)
            replies += 1
        assert not opening.result()
        assert 0.8 * ATTACH_DEADLINE_S < time.monotonic() - began < 4 * ATTACH_DEADLINE_S
        assert replies > 10
        stream.call.cancel()
        other.call.cancel()


async def test_a_service_without_the_setting_has_no_rings(ring: Ring) -> None:
    shared = StreamRing(None)
    for asking in (shared.attach(ring.id), shared.shown(ring_id="", index=0, generation=1, width=64, height=64)):
        with pytest.raises(Rejected) as refused:
            await asking
        assert refused.value.reason is Reason.NO_RING
    shared.close()
