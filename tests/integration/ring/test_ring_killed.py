"""Either side killed with -9 while a frame lies between them: real processes, a pulled camera, nothing left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from overt.api.control.v1 import control_pb2 as control
from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.testing.forensics import scan
from support import reading_detect
from support.http_camera import http_camera
from support.ingest_site import CAMERA, Buses, Site, jpeg, site
from support.waiting import until

pytestmark = pytest.mark.integration

HOLD_AT = 5


@dataclass
class Between:
    """ingest, and a detect that is another process."""

    ingest: Site
    buses: Buses
    door: Path
    url: str
    notes: Path
    reader: subprocess.Popen[bytes] | None = None

    def start_reader(self, *, hold_at: int) -> None:
        self.notes.unlink(missing_ok=True)
        self.reader = subprocess.Popen(
            [
                *(sys.executable, reading_detect.__file__, f"unix:{self.ingest.directory / 'detect.sock'}"),
                *(str(self.ingest.directory / "issuer.pub"), str(self.door), str(self.notes), str(hold_at)),
            ],
            env={**os.environ, "OVERT_STRICT_TELEMETRY": "1"},
        )

    def kill_reader(self) -> None:
        if self.reader is not None:
            self.reader.send_signal(signal.SIGKILL)
            self.reader.wait(10)

    def read(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    async def film(self) -> None:
        await self.ingest.put(
            self.buses.gateway,
            control.Deployment.STATE_ACTIVE,
            cameras=[control.Camera(camera_id=CAMERA, source_url=self.url)],
        )

    def rings(self) -> dict[int, Path]:
        """Inode and path of every ring that ingest has a descriptor of."""
        assert self.ingest.process is not None
        return _rings(self.ingest.process.pid)


def _rings(pid: int) -> dict[int, Path]:
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "overt-ring" in os.readlink(link):
            found[link.stat().st_ino] = link
    return found


def _mapped(pid: int) -> set[int]:
    """The inodes of the rings that are mapped there."""
    return {int(m[1]) for m in re.finditer(r" (\d+) +/memfd:overt-ring", Path(f"/proc/{pid}/maps").read_text())}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a socket's path has at most 107 bytes."""
    made = Path(tempfile.mkdtemp(prefix="ov"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def between(folder: Path) -> AsyncIterator[Between]:
    door = folder / "ring.sock"
    pictures = [jpeg(640, 360, seed=number) for number in range(8)]
    async with (
        http_camera(lambda number: pictures[number % 8]) as url,
        site(folder, environment={"OVERT_RING_SOCKET": str(door)}) as (ingest, buses),
    ):
        await ingest.detect_goes()
        made = Between(ingest, buses, door, url, folder / "notes")
        yield made
        made.kill_reader()


async def test_detect_killed_while_it_reads(between: Between) -> None:
    between.start_reader(hold_at=HOLD_AT)
    await between.film()
    await until(lambda: len(between.read()) == HOLD_AT)
    assert between.reader is not None
    ((inode, path),) = between.rings().items()
    assert any(path.read_bytes()[4096:]), "the frame that is being read"
    assert inode in _mapped(between.reader.pid)

    between.kill_reader()
    await until(lambda: inode not in between.rings())
    assert between.ingest.process is not None
    assert inode not in _mapped(between.ingest.process.pid), "nobody has it any more"
    await between.ingest.sight(pb.CameraStatus.SIGHT_BLIND, reason="detect_away")

    between.start_reader(hold_at=0)
    await until(lambda: len(between.read()) >= 10, seconds=20)
    assert {line.split()[1] for line in between.read()} == {"slot"}
    assert len(between.rings()) == 1
    assert await between.ingest.stop() == 0
    (account,) = await between.ingest.accounts(between.buses.gateway)
    assert account.final
    assert account.conserved()
    assert account.frames.in_flight == 0
    assert account.frames.of("unanalysed") > 0
    assert account.frames.of("no_face") >= HOLD_AT - 1 + 10
    assert [lost.service for lost in account.declared] == ["detect"]


async def test_a_detect_that_hangs_over_a_slot_loses_it_at_the_deadline(between: Between) -> None:
    between.start_reader(hold_at=HOLD_AT)
    await between.film()
    await until(lambda: len(between.read()) == HOLD_AT)
    assert between.reader is not None
    ((inode, path),) = between.rings().items()
    held = os.open(path, os.O_RDONLY)
    await between.ingest.sight(pb.CameraStatus.SIGHT_BLIND)
    await until(lambda: inode not in between.rings())
    assert inode in _mapped(between.reader.pid), "it still reads"
    assert not any(os.pread(held, 1 << 20, 4096)), "zeros"
    os.close(held)
    # The same process on a new stream: another ring.
    await until(lambda: len(between.read()) >= HOLD_AT + 5, seconds=20)
    assert {line.split()[1] for line in between.read()} == {"slot"}
    assert await between.ingest.stop() == 0
    (account,) = await between.ingest.accounts(between.buses.gateway)
    assert account.conserved()
    assert account.frames.reasons["unanalysed/deadline"] == 1


async def test_ingest_killed_while_its_frame_is_read_leaves_nothing(between: Between, folder: Path) -> None:
    shared = set(Path("/dev/shm").rglob("*"))
    between.start_reader(hold_at=HOLD_AT)
    await between.film()
    await until(lambda: len(between.read()) == HOLD_AT)
    assert between.reader is not None
    ((inode, path),) = between.rings().items()
    rows = [bytes(path.read_bytes()[4096 + 640 * row :][:48]) for row in range(0, 360, 8)]
    assert all(len(set(row)) > 3 for row in rows), "pixels that can be recognised"
    between.ingest.kill()
    assert inode in _mapped(between.reader.pid), "its memory lives as long as somebody reads it"
    between.kill_reader()
    assert set(Path("/dev/shm").rglob("*")) <= shared, "and has no name that could stay"
    assert [f for f in scan([folder, Path("/dev/shm")], pixels=rows) if f.what == "pixels"] == []
    (folder / "planted").write_bytes(b"x" * 7 + rows[3])
    assert {f.what for f in scan([folder], pixels=rows)} >= {"pixels"}, "the scanner sees a row of it"
    (folder / "planted").unlink()

    # The next life takes over the socket that the last one left.
    assert between.door.exists()
    between.start_reader(hold_at=0)
    await between.ingest.start()
    await until(lambda: len(between.read()) >= 3, seconds=20)
    assert await between.ingest.stop() == 0
    assert not between.door.exists()
    first, second = sorted(await between.ingest.accounts(between.buses.gateway), key=lambda account: account.began_at)
    assert second.conserved()
    assert [lost.epoch for lost in second.declared] == [first.epoch]
