"""ingest's link to detect with a ring between them: real gRPC, real shared memory, a fake detect that reads it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from overt.api.detect.v1 import detect_pb2
from overt.api.detect.v1.detect_pb2_grpc import add_DetectServicer_to_server
from overt.errors import Rejected
from overt.ledger import FrameClass
from overt.permissions import Role
from overt.reasons import Reason
from overt.ring import Ring, RingDoor, RingView
from overt.ring import view as views
from overt.testing.ingest import FakeDetect
from overt.testing.rpc import serving
from overt_ingest.adapters import detect as adapter
from overt_ingest.adapters import ring as rings
from overt_ingest.adapters.detect import DetectClient, GrpcStream
from overt_ingest.domain.books import FRAME_ORDER, Fate, OpenBook
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Analysis, Away
from overt_ingest.domain.frame import Arrival, Frame
from overt_ingest.turns import Turns
from support.waiting import until

pytestmark = pytest.mark.integration

Reading = Callable[[detect_pb2.Slot, bytes], None]


class YuvPicture:
    """Planes of one value. `copying` is called in the thread that copies them."""

    jpeg = None

    def __init__(self, width: int = 640, height: int = 360, value: int = 0xAB) -> None:
        self._size = width, height
        self._value = value
        self.i420_bytes: int | None = width * height * 3 // 2
        self.copying: Callable[[], None] = lambda: None
        self.copied = 0

    @property
    def size_bytes(self) -> int:
        return self._size[0] * self._size[1] * 3

    def i420_into(self, view: memoryview) -> tuple[int, int] | None:
        self.copying()
        np.frombuffer(view, np.uint8).fill(self._value)
        self.copied += 1
        return self._size

    def bgr(self) -> np.ndarray:
        return np.full((self._size[1], self._size[0], 3), self._value, np.uint8)

    def destroy(self) -> None:
        pass


class ReadingDetect(FakeDetect):
    """Reads every slot it is shown, in a thread, and says what it has seen. `while_reading` is called there."""

    while_reading: Reading = staticmethod(lambda slot, planes: None)
    seen: list[bytes]

    async def Analyse(self, request_iterator: Any, context: Any) -> AsyncIterator[detect_pb2.AnalyseReply]:  # noqa: N802
        async def read_first() -> AsyncIterator[detect_pb2.AnalyseRequest]:
            async for request in request_iterator:
                if request.frame.WhichOneof("picture") == "slot" and self.ring_socket is not None:
                    await asyncio.to_thread(self._read, request.frame.slot)
                yield request

        async for reply in super().Analyse(read_first(), context):
            yield reply

    def _read(self, slot: detect_pb2.Slot) -> None:
        assert self.ring_socket is not None
        view = RingView.attach(self.ring_socket, slot.ring_id, timeout=2)
        with contextlib.suppress(Rejected), view.slot(slot.index, slot.generation, slot.width * slot.height) as planes:
            self.seen.append(bytes(planes[:3]))
            self.while_reading(slot, planes)
        view.close()


@dataclass
class Link:
    """A camera's link, its detect, and every ring that was made for it."""

    detect: ReadingDetect
    door: RingDoor
    client: DetectClient
    rings: list[Ring]
    descriptors: list[int] = field(default_factory=list)
    book: OpenBook = field(default_factory=lambda: OpenBook(FRAME_ORDER))
    died: list[str] = field(default_factory=list)
    frames: int = 0

    async def stream(self) -> GrpcStream:
        await until(lambda: self.client.current is not None)
        assert self.client.current is not None
        return self.client.current

    async def analyse(self, picture: YuvPicture) -> Analysis:
        """As the life of a frame does: it is booked whatever happens."""
        self.frames += 1
        now = datetime.now(UTC)
        frame = Frame(
            sequence=self.frames,
            arrival=Arrival(now, now, 0.0),
            picture=picture,
            hold=self.book.enter(lambda fate: None),
        )
        fate = Fate(FrameClass.UNANALYSED, Reason.INTERNAL)
        try:
            analysis = await (await self.stream()).analyse(frame, pending=[], settled=[])
            fate = Fate(FrameClass.REJECTED, analysis.rejected) if analysis.rejected else Fate(FrameClass.NO_FACE)
            return analysis
        except Away as away:
            fate = Fate(FrameClass.UNANALYSED, away.reason)
            raise
        finally:
            frame.destroy(fate)

    def left_in_rings(self) -> int:
        """Bytes of pictures in all memory that was ever shared."""
        return sum(os.pread(fd, 1 << 26, 0).count(0xAB) for fd in self.descriptors)


@pytest.fixture
def socket() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ov"))
    yield folder / "ring.sock"
    shutil.rmtree(folder)


@pytest.fixture
async def link(socket: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Link]:
    made: list[Ring] = []
    descriptors: list[int] = []

    def remembered(slots: int, slot_bytes: int) -> Ring:
        ring = Ring(slots, slot_bytes)
        made.append(ring)
        descriptors.append(os.dup(ring.descriptor))
        return ring

    monkeypatch.setattr(rings, "Ring", remembered)
    monkeypatch.setattr(adapter, "BACKOFF_FIRST_S", 0.05)
    detect = ReadingDetect(ring_socket=socket)
    detect.seen = []
    door = RingDoor()
    await door.start(socket)
    async with serving(lambda server: add_DetectServicer_to_server(detect, server)) as served:
        client = DetectClient(served.channel(Role.SERVICE_INGEST), CameraSpec("dep", "cam"), Turns(), door)
        link = Link(detect, door, client, made, descriptors)
        running = asyncio.create_task(client.run(lambda: None, link.died.append))
        yield link
        detect.answering.set()
        running.cancel()
        await asyncio.wait((running,))
    await door.close()
    assert link.left_in_rings() == 0, "whatever happened"
    assert all(ring.descriptor == -1 for ring in made)
    assert not door._rings
    assert link.book.in_flight == 0
    for descriptor in descriptors:
        os.close(descriptor)


async def test_frames_lie_in_one_slot_of_one_ring_and_are_gone_with_their_reply(link: Link) -> None:
    left = []
    link.detect.while_reading = lambda slot, planes: left.append(link.left_in_rings())
    for _ in range(5):
        await link.analyse(YuvPicture())
        assert link.left_in_rings() == 0
    assert left == [640 * 360 * 3 // 2] * 5, "the check sees a frame that is there"
    assert {(f.kind, f.width, f.height, f.bytes) for f in link.detect.frames} == {("slot", 640, 360, 0)}
    assert link.detect.seen == [b"\xab" * 3] * 5
    assert len(link.rings) == 1
    assert link.book.snapshot().destroyed == {"no_face": 5}


async def test_another_size_is_another_ring_and_the_old_one_is_gone(link: Link) -> None:
    for width, height in ((640, 360), (320, 240), (320, 240), (1920, 1080)):
        await link.analyse(YuvPicture(width, height))
    assert [ring.slot_bytes for ring in link.rings] == [n * 3 // 2 for n in (640 * 360, 320 * 240, 1920 * 1080)]
    assert [ring.descriptor == -1 for ring in link.rings] == [True, True, False]
    assert {f.kind for f in link.detect.frames} == {"slot"}


async def test_a_detect_without_rings_costs_no_frame(link: Link) -> None:
    link.detect.ring_socket = None
    for _ in range(3):
        analysis = await link.analyse(YuvPicture())
        assert analysis.rejected == ""
    assert {(f.sequence, f.kind) for f in link.detect.frames} == {(1, "raw"), (2, "raw"), (3, "raw")}
    assert len(link.rings) == 1, "it was tried once"
    assert link.book.snapshot().destroyed == {"no_face": 3}


async def test_pictures_that_are_not_i420_travel_as_ever(link: Link) -> None:
    picture = YuvPicture()
    picture.i420_bytes = None
    await link.analyse(picture)
    refusing = YuvPicture()
    refusing.i420_into = lambda view: None  # type: ignore[method-assign]
    await link.analyse(refusing)
    await link.analyse(YuvPicture())
    assert [f.kind for f in link.detect.frames] == ["raw", "raw", "slot"]


async def test_no_memory_for_a_ring_is_no_reason_to_lose_a_frame(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(slots: int, slot_bytes: int) -> Ring:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(rings, "Ring", none_left)
    await link.analyse(YuvPicture())
    assert [f.kind for f in link.detect.frames] == ["raw"]


async def test_a_picture_larger_than_any_slot_travels_as_a_jpeg(link: Link) -> None:
    await link.analyse(YuvPicture(4098, 4096))
    assert [f.kind for f in link.detect.frames] == ["jpeg"]


async def test_a_deadline_overwrites_the_slot_while_it_is_being_read(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "FRAME_DEADLINE_S", 0.2)
    let_go, saw = threading.Event(), []

    def hang(slot: detect_pb2.Slot, planes: memoryview) -> None:
        saw.append(bytes(planes[:3]))
        let_go.wait(10)
        saw.append(bytes(planes[:3]))

    link.detect.while_reading = hang  # type: ignore[assignment]
    first = await link.stream()
    with pytest.raises(Away) as away:
        await link.analyse(YuvPicture())
    assert away.value.reason is Reason.DEADLINE
    assert link.left_in_rings() == 0
    assert link.rings[0].descriptor == -1, "its ring is gone with the stream, so nothing is put there again"
    let_go.set()
    await until(lambda: len(saw) == 2)
    assert saw == [b"\xab" * 3, bytes(3)]

    link.detect.while_reading = lambda slot, planes: None
    await link.analyse(YuvPicture())
    assert await link.stream() is not first
    assert len(link.rings) == 2
    assert link.detect.openings[-1].ring_id == link.rings[1].id, "the size is known: it is offered with the opening"
    assert link.book.snapshot().destroyed == {"unanalysed": 1, "no_face": 1}


async def test_a_stream_that_breaks_during_the_copy_leaves_nothing(link: Link) -> None:
    """The ring is closed while a thread still writes into it: what it wrote is overwritten when it is done."""
    stream = await link.stream()
    copying, go_on = threading.Event(), threading.Event()
    picture = YuvPicture()

    def wait() -> None:
        copying.set()
        go_on.wait(10)

    picture.copying = wait
    task = asyncio.create_task(link.analyse(picture))
    await until(copying.is_set)
    stream.end()
    assert link.rings[0].descriptor == -1
    go_on.set()
    with pytest.raises(Away):
        await task
    assert picture.copied == 1
    assert link.left_in_rings() == 0
    await link.analyse(YuvPicture())


async def test_a_camera_that_closes_during_the_copy_leaves_nothing(link: Link) -> None:
    await link.stream()
    copying, go_on = threading.Event(), threading.Event()
    picture = YuvPicture()

    def wait() -> None:
        copying.set()
        go_on.wait(10)

    picture.copying = wait
    task = asyncio.create_task(link.analyse(picture))
    await until(copying.is_set)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert link.left_in_rings() == 0


async def test_a_stale_slot_is_a_rejection_and_nothing_else(link: Link) -> None:
    link.detect.find = lambda frame: detect_pb2.AnalyseReply(rejected="stale_slot")
    analysis = await link.analyse(YuvPicture())
    assert analysis.rejected == Reason.STALE_SLOT
    assert link.book.snapshot().destroyed == {"rejected": 1}


async def test_a_reader_of_another_user_gets_no_ring(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its stream goes on without."""
    monkeypatch.setattr(views, "peer_uid", lambda connection: os.geteuid() + 1)

    def read(slot: detect_pb2.Slot) -> None:
        with pytest.raises(Rejected):
            RingView.attach(link.detect.ring_socket, slot.ring_id, timeout=2)  # type: ignore[arg-type]
        link.detect.ring_socket = None

    monkeypatch.setattr(link.detect, "_read", read)
    await link.analyse(YuvPicture())
    assert [f.kind for f in link.detect.frames] == ["raw"]
