"""Cameras that push: a clip as JPEGs over gRPC, at its own pace, again and again, waiting for nobody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import numpy as np
import simplejpeg
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc

from overt_lab.bench.footage import Footage
from overt_lab.bench.stages import decoded

QUALITY = 85
_MOST_PICTURES = 250
"""A clip is pushed from memory: ten seconds at 25 frames/s, 0.1 GB in full HD."""
_MAX_MESSAGE = 9 * 1024 * 1024


def jpegs(footage: Footage) -> list[bytes]:
    """The clip's first pictures. Encoded before anything is measured: a camera has a chip for that."""
    found = []
    for frame in decoded(footage.path):
        picture = np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
        found.append(bytes(simplejpeg.encode_jpeg(picture, QUALITY, "BGR", "420")))
        if len(found) == _MOST_PICTURES:
            break
    return found


class PushedCamera:
    """One camera. A picture that is due while the one before still waits to be written is held back and counted."""

    def __init__(self, address: str, token: str, deployment: str, camera: str) -> None:
        self._address = address
        self._metadata = (
            ("authorization", f"Bearer {token}"),
            ("overt-deployment", deployment),
            ("overt-camera", camera),
        )
        self.due = 0
        self.held_back = 0
        self.receipts: Counter[int] = Counter()

    async def play(self, pictures: Sequence[bytes], frames_per_second: float, *, phase_s: float) -> None:
        """Until cancelled. Raises AioRpcError if it is not let in, or is let in no more."""
        options = [("grpc.max_send_message_length", _MAX_MESSAGE), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            call = ingest_pb2_grpc.CameraIngestStub(channel).StreamFrames(metadata=self._metadata)
            reading = asyncio.create_task(self._read(call), name="read receipts")
            try:
                await self._send(call, reading, pictures, frames_per_second, phase_s)
            finally:
                call.cancel()
                reading.cancel()
                await asyncio.wait({reading})

    async def _send(
        self, call: Any, reading: asyncio.Task[None], pictures: Sequence[bytes], rate: float, phase_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        began, writing = loop.time() + phase_s, None
        while not reading.done():
            await asyncio.sleep(max(0.0, began + self.due / rate - loop.time()))
            self.due += 1
            if writing is not None and not writing.done():
                self.held_back += 1
                continue
            frame = ingest_pb2.Frame(sequence=self.due, jpeg=pictures[self.due % len(pictures)])
            frame.captured_at.GetCurrentTime()
            writing = asyncio.ensure_future(self._write(call, frame))
        reading.result()

    async def _write(self, call: Any, frame: ingest_pb2.Frame) -> None:
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # the call has ended; its reader tells why
            await call.write(frame)

    async def _read(self, call: Any) -> None:
        async for receipt in call:
            self.receipts[receipt.outcome] += 1


@asynccontextmanager
async def playing(
    cameras: Sequence[PushedCamera], pictures: Sequence[bytes], frames_per_second: float
) -> AsyncIterator[asyncio.Task[None]]:
    """All of them, out of step, while the body runs. The task given ends only if one of them fails."""

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for number, camera in enumerate(cameras):
                phase = number / len(cameras) / frames_per_second
                group.create_task(camera.play(pictures, frames_per_second, phase_s=phase), name=f"camera {number}")

    task = asyncio.create_task(all_of_them(), name="push")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
