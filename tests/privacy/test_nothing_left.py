"""After a run without a match nothing of anybody is on any disk; and the scanner would have seen it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from overt.bus import BusAddress, connect
from overt.subjects import LEDGER, Service
from overt.testing.forensics import Finding, scan
from overt_lab.camera import Clip, Picture
from overt_lab.demo.cli import SEED, THRESHOLD, builtin_list
from overt_lab.demo.people import demo_people
from overt_lab.demo.run import DEPLOYMENT, Outcome, Stage
from overt_lab.demo.scene import FRAMES_PER_SECOND, plan, render
from overt_lab.machine import Machine
from support.machine import running

pytestmark = [pytest.mark.privacy, pytest.mark.timeout(240)]

_RUN = 48  # bytes of a picture's row, or of a JPEG's entropy-coded data, that are looked for


@dataclass
class Crime:
    """Where to look, and for which pixels."""

    machine: Machine
    folders: list[Path]
    pixels: list[bytes] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        return scan(self.folders, pixels=self.pixels)


def _strangers() -> Iterator[Picture]:
    """Four people of the walk-through who are on no list."""
    people = [p for p in demo_people() if p.name in {"hazel", "cedar", "elm", "fir"}]
    yield from render(plan(people, SEED), SEED)


def _witness(pictures: Iterator[Picture], pixels: list[bytes]) -> Iterator[Picture]:
    """Remembers runs of bytes of what is sent: as JPEG, and as the pixels that its decoding gives."""
    for number, picture in enumerate(pictures):
        if number % 10 == 0:
            jpeg = simplejpeg.encode_jpeg(
                np.ascontiguousarray(picture), quality=92, colorspace="BGR", colorsubsampling="420"
            )
            middle = len(jpeg) // 2
            pixels.append(jpeg[middle : middle + _RUN])
            decoded = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
            pixels.append(decoded[300, 400:].tobytes()[:_RUN])
        yield picture


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary directory of every process of this test; short, for the sake of Unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ov"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    monkeypatch.setattr(tempfile, "tempdir", None)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """Where this test's match keeps its index; a tmpfs."""
    folder = Path(tempfile.mkdtemp(prefix="overt-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def test_nothing_of_passers_by_is_left(tmp_path: Path, short_tmp: Path, shared_memory: Path) -> None:
    outcome = Outcome(expected=[])
    match = {"OVERT_INDEX_DIR": str(shared_memory)}
    async with running(tmp_path, encrypt_store=False, extra={"match": match}) as machine:
        crime = Crime(machine, [tmp_path, short_tmp, shared_memory])
        stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
        await stage.open(builtin_list())
        async with stage.watching(lambda alert: None):
            await stage.play(Clip(_witness(_strangers(), crime.pixels), FRAMES_PER_SECOND))
        assert crime.findings() == [], "while it runs"
        await stage.end()
        assert outcome.good
        assert outcome.ledger["tracks"]["destroyed"]["no_match"] > 0, "somebody was searched"
        assert crime.findings() == [], "after the end"

        # The same scanner, on purpose: a frame in a file, and one published to a stream.
        picture = next(iter(_strangers()))
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), colorspace="BGR")
        planted = short_tmp / "planted.bin"
        planted.write_bytes(b"x" * 100 + jpeg)
        assert [f.path for f in crime.findings()] == [planted]
        planted.unlink()
        await _publish(machine, jpeg)
        assert {f.what for f in crime.findings()} == {"jpeg"}
        assert all(tmp_path / "nats" in f.path.parents for f in crime.findings())
    assert not [p for p in shared_memory.rglob("*") if p.is_file()], "shared memory"


async def _publish(machine: Machine, data: bytes) -> None:
    """As a careless ingest would. (Into the evidence stream it would not last: alerts erases poison.)"""
    password = machine.layout.password(Service.INGEST)
    bus = await connect(BusAddress(machine.nats_url, Service.INGEST, password.read_text()), name="test")
    try:
        await bus.append(LEDGER.of(DEPLOYMENT, "square"), data)
    finally:
        await bus.close()
