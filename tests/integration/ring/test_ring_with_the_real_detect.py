"""The real detect reads faces out of a ring: the same as out of a message. Stopped and killed in the middle of it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import grpc.aio
import numpy as np
import pytest
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.models import default_directory, ensure
from overt.permissions import Role
from overt.reasons import Reason
from overt.ring import Lease, Ring, RingDoor
from overt.rpc import connect
from overt.testing import faces
from overt.testing.rpc import Tokens
from overt.wire import to_timestamp
from support.waiting import until

pytestmark = pytest.mark.integration

GROUP = faces.group()  # 1280 x 886
HEIGHT, WIDTH = GROUP.shape[:2]


@dataclass
class Detect:
    """Its process, and a ring for it."""

    folder: Path
    tokens: Tokens = field(default_factory=Tokens)
    process: subprocess.Popen[bytes] | None = None

    @property
    def door(self) -> Path:
        return self.folder / "ring.sock"

    def start(self) -> None:
        (self.folder / "issuer.pub").write_bytes(self.tokens.public_pem)
        (self.folder / "address").unlink(missing_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "OVERT_STRICT_TELEMETRY": "1",
            "OVERT_LISTEN": f"unix:{self.folder / 'detect.sock'}",
            "OVERT_ADDRESS_FILE": str(self.folder / "address"),
            "OVERT_ISSUER_PUBLIC_KEY_FILE": str(self.folder / "issuer.pub"),
            "OVERT_MODEL_DIR": str(ensure("open", default_directory(os.environ)).folder.parent),
            "OVERT_RING_SOCKET": str(self.door),
        }
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "overt_detect"], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not (self.folder / "address").exists():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "not ready within a minute"
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def mapped(self) -> int:
        """How many rings."""
        assert self.process is not None
        return len(re.findall("memfd:overt-ring", Path(f"/proc/{self.process.pid}/maps").read_text()))

    @property
    def channel(self) -> grpc.aio.Channel:
        token = self.tokens.of(Role.SERVICE_INGEST)
        return connect(f"unix:{self.folder / 'detect.sock'}", token=lambda: token)


@pytest.fixture(scope="module")
def detect() -> Iterator[Detect]:
    made = Detect(Path(tempfile.mkdtemp(prefix="ov")))
    made.start()
    yield made
    made.signal(signal.SIGKILL)
    assert made.process is not None
    made.process.wait(10)
    shutil.rmtree(made.folder)


@pytest.fixture
async def ring(detect: Detect) -> AsyncIterator[Ring]:
    door, made = RingDoor(), Ring(3, WIDTH * HEIGHT * 3 // 2)
    await door.start(detect.door)
    door.admit(made)
    yield made
    made.close()
    await door.close()


class Stream:
    def __init__(self, stub: detect_pb2_grpc.DetectStub) -> None:
        self.call: Any = stub.Analyse()
        self._sequence = 0
        self._at = datetime.now(UTC)

    async def open(self, ring_id: str = "") -> pb.AnalyseReply:
        opening = pb.Opening(deployment="d", camera="c", ring_id=ring_id)
        await self.call.write(pb.AnalyseRequest(opening=opening))
        return await asyncio.wait_for(self.call.read(), 20)

    async def write(self, **picture: Any) -> None:
        self._sequence += 1
        self._at += timedelta(milliseconds=150)
        frame = pb.FrameToAnalyse(sequence=self._sequence, captured_at=to_timestamp(self._at), **picture)
        await self.call.write(pb.AnalyseRequest(frame=frame))

    async def send(self, **picture: Any) -> pb.AnalyseReply:
        await self.write(**picture)
        reply = await asyncio.wait_for(self.call.read(), 20)
        assert isinstance(reply, pb.AnalyseReply), await self.call.code()
        return reply


def _lie(ring: Ring) -> tuple[Lease, pb.Slot]:
    """The group, in a slot."""
    lease = ring.lease()
    assert lease is not None
    planes = cv2.cvtColor(GROUP, cv2.COLOR_BGR2YUV_I420)
    np.copyto(np.frombuffer(lease.view, np.uint8), planes.reshape(-1))
    slot = pb.Slot(ring_id=ring.id, index=lease.index, generation=lease.generation, width=WIDTH, height=HEIGHT)
    return lease, slot


async def _group(stream: Stream, picture: dict[str, Any]) -> list[pb.FoundFace]:
    """The six people once they are tracked, from left to right."""
    for _ in range(2):
        reply = await stream.send(**picture)
        assert reply.rejected == ""
    return sorted(reply.faces, key=lambda face: face.box.x)


async def test_the_same_faces_and_the_same_templates_as_in_a_message(detect: Detect, ring: Ring) -> None:
    async with detect.channel as channel:
        stub = detect_pb2_grpc.DetectStub(channel)
        shared, told = Stream(stub), Stream(stub)
        assert (await shared.open(ring.id)).ring_attached
        assert not (await told.open()).ring_attached
        lease, slot = _lie(ring)
        ours = await _group(shared, {"slot": slot})
        theirs = await _group(told, {"raw": pb.RawPicture(width=WIDTH, height=HEIGHT, bgr=GROUP.tobytes())})
        assert len(ours) == len(theirs) == 6
        for one, other in zip(ours, theirs, strict=True):
            assert one.box.x == pytest.approx(other.box.x, abs=4)
            assert one.box.width == pytest.approx(other.box.width, abs=6)
            if one.template and other.template:
                assert np.frombuffer(one.template, "<f4") @ np.frombuffer(other.template, "<f4") > 0.9
        assert sum(bool(face.template) for face in ours) >= 4
        lease.release()
        shared.call.cancel()
        told.call.cancel()
    await until(lambda: detect.mapped() == 0)
    assert ring.id not in (detect.folder / "log").read_text()


async def test_a_slot_that_is_taken_back_while_it_reads(detect: Detect, ring: Ring) -> None:
    async with detect.channel as channel:
        stub = detect_pb2_grpc.DetectStub(channel)
        stream = Stream(stub)
        await stream.open(ring.id)
        lease, slot = _lie(ring)
        detect.signal(signal.SIGSTOP)
        await stream.write(slot=slot)
        lease.quarantine()
        detect.signal(signal.SIGCONT)
        assert (await stream.call.read()).rejected == Reason.STALE_SLOT
        stream.call.cancel()
        again = Stream(stub)
        await again.open(ring.id)
        lease, slot = _lie(ring)
        assert lease.index == 1, "the other is in quarantine"
        assert len((await again.send(slot=slot)).faces) == 6
        again.call.cancel()


async def test_killed_while_it_reads(detect: Detect, ring: Ring) -> None:
    async with detect.channel as channel:
        stream = Stream(detect_pb2_grpc.DetectStub(channel))
        await stream.open(ring.id)
        lease, slot = _lie(ring)
        assert len((await stream.send(slot=slot)).faces) == 6
        await stream.write(slot=slot)
        detect.signal(signal.SIGKILL)
        assert detect.process is not None
        detect.process.wait(10)
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.call.read()
        lease.quarantine()
        assert not any(os.pread(ring.descriptor, 1 << 23, 4096))
        ring.reclaim()
    detect.start()
    async with detect.channel as channel:
        stream = Stream(detect_pb2_grpc.DetectStub(channel))
        assert (await stream.open(ring.id)).ring_attached
        lease, slot = _lie(ring)
        assert len((await stream.send(slot=slot)).faces) == 6
        stream.call.cancel()
