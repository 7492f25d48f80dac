"""What it costs to hand a frame to detect: by the ring, raw inside a message, as a JPEG. In turn, in one run.

Two processes on one Unix socket, ingest's own stream at one end; the other end looks at every byte and answers.
`make bench`
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from overt.permissions import Role
from overt.ring import Ring, RingDoor
from overt.rpc import connect
from overt.testing import faces
from overt.testing.rpc import Tokens
from overt_ingest.adapters.detect import DetectClient
from overt_ingest.adapters.pixels import JpegPicture, VideoPicture
from overt_ingest.domain.books import FRAME_ORDER, OpenBook
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.frame import Arrival, Frame, Picture
from overt_ingest.turns import Turns
from support.waiting import until

pytestmark = pytest.mark.bench

ROUNDS, IN_A_ROW = 8, 15
SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}


def _cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _reader(folder: Path, tokens: Tokens) -> Iterator[int]:
    """Its process id."""
    (folder / "key").write_bytes(tokens.public_pem)
    script = Path(__file__).with_name("hand_over_reader.py")
    command = [sys.executable, script, f"unix:{folder}/detect.sock", folder / "key", folder / "ring.sock"]
    process = subprocess.Popen([str(word) for word in command])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("size", SIZES)
async def test_round_trip(size: str) -> None:
    width, height = SIZES[size]
    scene = cv2.resize(faces.group(), (width, height), interpolation=cv2.INTER_CUBIC)
    decoded = av.VideoFrame.from_ndarray(scene, format="bgr24").reformat(format="yuv420p")
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(scene), 85, "BGR", "420")
    nothing = simplejpeg.encode_jpeg(np.zeros((64, 64, 3), np.uint8), 50, "BGR")
    kinds: dict[str, tuple[bool, Callable[[], Picture]]] = {
        "ring": (True, lambda: VideoPicture(decoded)),
        "message": (False, lambda: VideoPicture(decoded)),
        "next to nothing": (False, lambda: JpegPicture(nothing)),
        f"pushed JPEG, {len(jpeg) >> 10} kB": (False, lambda: JpegPicture(jpeg)),
    }
    folder, tokens = Path(tempfile.mkdtemp(prefix="ov")), Tokens()
    door = RingDoor()
    await door.start(folder / "ring.sock")
    token = tokens.of(Role.SERVICE_INGEST)
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    cpu = dict.fromkeys(kinds, 0.0)
    try:
        with _reader(folder, tokens) as pid:
            await until(lambda: (folder / "detect.sock").exists(), seconds=20)
            async with connect(f"unix:{folder}/detect.sock", token=lambda: token) as channel:
                clients = {
                    k: DetectClient(channel, CameraSpec("d", "c"), Turns(), door if kinds[k][0] else None)
                    for k in kinds
                }
                async with asyncio.TaskGroup() as group:
                    links = [group.create_task(c.run(lambda: None, lambda epoch: None)) for c in clients.values()]
                    await until(lambda: all(client.current for client in clients.values()))
                    for number in range(ROUNDS):
                        for kind, (_, make) in kinds.items():
                            before = time.process_time() + _cpu_seconds(pid)
                            took[kind] += [await _once(clients[kind], number, make()) for _ in range(IN_A_ROW)]
                            cpu[kind] += time.process_time() + _cpu_seconds(pid) - before
                    for link in links:
                        link.cancel()
    finally:
        await door.close()
        shutil.rmtree(folder)
    print(f"\n{size}")
    for kind, times in took.items():
        p50, p99 = np.percentile(times[IN_A_ROW:], [50, 99])
        each = cpu[kind] / len(times) * 1e3
        print(f"{kind:>22}: round trip p50 {p50:6.2f} ms, p99 {p99:6.2f}; both ends {each:6.2f} ms of CPU a frame")
    assert np.median(took["ring"]) < np.median(took["message"])


async def _once(client: DetectClient, number: int, picture: Picture) -> float:
    now = datetime.now(UTC)
    hold = OpenBook(FRAME_ORDER).enter()
    frame = Frame(sequence=number, arrival=Arrival(now, now, 0.0), picture=picture, hold=hold)
    stream = client.current
    assert stream is not None
    began = time.perf_counter()
    await stream.analyse(frame, pending=[], settled=[])
    took = (time.perf_counter() - began) * 1e3
    picture.destroy()
    return took


@pytest.mark.parametrize("size", SIZES)
def test_a_slot(size: str) -> None:
    width, height = SIZES[size]
    taken = time.perf_counter()
    ring = Ring(3, width * height * 3 // 2)
    made = (time.perf_counter() - taken) * 1e3
    lying: dict[str, list[float]] = {"write": [], "overwrite": []}
    planes = np.random.default_rng(1).integers(0, 255, width * height * 3 // 2, dtype=np.uint8)
    for _ in range(100):
        lease = ring.lease()
        assert lease is not None
        began = time.perf_counter()
        np.copyto(np.frombuffer(lease.view, np.uint8), planes)
        written = time.perf_counter()
        lease.release()
        lying["overwrite"].append((time.perf_counter() - written) * 1e3)
        lying["write"].append((written - began) * 1e3)
    ring.close()
    for what, times in lying.items():
        print(f"\n{size} {what}: first {times[0]:.2f} ms, p50 {np.median(times[1:]):.2f}, ", end="")
    print(f"ring made in {made:.2f} ms")
