"""Frames that went through shared memory: none is left in it, on a disk or in a word, and nobody finds the memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from overt.api.control.v1 import control_pb2 as control
from overt.api.detect.v1 import detect_pb2
from overt.ring import RingView
from overt.testing.forensics import scan
from overt.testing.ingest import face, nobody_matches
from support.http_camera import http_camera
from support.ingest_site import CAMERA, jpeg, site
from support.waiting import until

pytestmark = pytest.mark.privacy

WIDTH, HEIGHT = 640, 360
TEMPLATE = b"\x00\x00\x80\x3f" + bytes(12)


class Witness:
    """Reads what it is shown, as detect does, and keeps every ring mapped for ever, as detect does not."""

    def __init__(self, door: Path) -> None:
        self._door = door
        self._rings: dict[str, RingView] = {}
        self.rows: list[bytes] = []

    def find(self, frame: detect_pb2.FrameToAnalyse) -> list[detect_pb2.FoundFace]:
        slot = frame.slot
        if slot.ring_id not in self._rings:
            self._rings[slot.ring_id] = RingView.attach(self._door, slot.ring_id, timeout=2)
        with self._rings[slot.ring_id].slot(slot.index, slot.generation, WIDTH * HEIGHT) as luma:
            self.rows.append(bytes(luma[WIDTH * 100 :][:48]))
        return [face(1, template=TEMPLATE)]

    @property
    def ids(self) -> list[str]:
        return list(self._rings)

    def memory(self) -> bytes:
        """All that is in all rings, slots that are not shown included."""
        mappings = [view._memory for view in self._rings.values()]
        return b"".join(bytes(memory) for memory in mappings if memory is not None)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ov"))
    yield made
    shutil.rmtree(made)


async def test_nothing_of_a_frame_is_left_anywhere(folder: Path) -> None:
    door = folder / "ring.sock"
    pictures = [jpeg(WIDTH, HEIGHT, seed=number) for number in range(1, 40)]
    async with (
        http_camera(lambda number: pictures[number % len(pictures)]) as url,
        site(folder, environment={"OVERT_RING_SOCKET": str(door)}) as (ingest, buses),
    ):
        witness = Witness(door)
        ingest.detect.ring_socket = door
        ingest.detect.find = witness.find
        ingest.match.judge = nobody_matches
        cameras = [control.Camera(camera_id=CAMERA, source_url=url)]
        await ingest.put(buses.gateway, control.Deployment.STATE_ACTIVE, cameras=cameras)
        await until(lambda: len(ingest.detect.frames) >= 20)
        assert {frame.kind for frame in ingest.detect.frames} == {"slot"}
        await ingest.put(buses.gateway, control.Deployment.STATE_ENDED)
        await until(lambda: "camera_closed" in ingest.log)
        (account,) = await ingest.accounts(buses.gateway)
        assert account.conserved()
        assert account.frames.retained == account.frames.in_flight == 0

        assert all(len(set(row)) > 3 for row in witness.rows), "pixels that can be recognised"
        memory = witness.memory()
        assert len(memory) > 3 * WIDTH * HEIGHT
        assert not any(memory[4096:])
        assert not any(row in memory for row in witness.rows)
        places = [folder, Path("/dev/shm")]
        assert [f for f in scan(places, pixels=witness.rows) if f.what != "template"] == []
        assert len(witness.ids) == 1
        for ring_id in witness.ids:
            assert ring_id not in ingest.log
            assert ring_id not in str(ingest.statuses)
        assert await ingest.stop() == 0
