"""A camera made of software: pushes pictures over gRPC as any integrator's camera would."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import grpc
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from overt.errors import Fatal, Retryable
from overt.rpc import to_overt_error
from overt.telemetry import SpanName, current_traceparent, span

from overt_lab.wording import counted

Picture = NDArray[np.uint8]
"""height x width x 3, blue green red."""

_MAX_MESSAGE = 9 * 1024 * 1024
_Call = grpc.aio.StreamStreamCall[ingest_pb2.Frame, ingest_pb2.Receipt]


@dataclass(frozen=True, slots=True)
class Clip:
    """Pictures at a steady rate. `pictures` can be gone through once."""

    pictures: Iterable[Picture] = field(repr=False)
    frames_per_second: float
    frames: int | None = None


def read_clip(path: Path) -> Clip:
    """A video or GIF, decoded as it is played. Fatal with advice if it is none, or, then, where it is damaged."""
    try:
        container = av.open(str(path))
        stream = container.streams.video[0]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise Fatal(f"{path} is not a video that can be read: give an MP4, MKV, AVI, MOV or GIF file") from error
    rate = float(stream.average_rate or stream.guessed_rate or 25)

    def pictures() -> Iterator[Picture]:
        played = 0
        with container:
            try:
                for frame in container.decode(stream):
                    yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                    played += 1
            except av.FFmpegError as error:
                after = counted(played, "picture", "pictures")
                raise Fatal(f"{path} is damaged: it cannot be decoded after {after}") from error

    return Clip(pictures(), rate, stream.frames or None)


@dataclass(slots=True)
class PushResult:
    """What came back. `receipts` by outcome; `lived_ms` of every frame."""

    sent: int = 0
    receipts: Counter[str] = field(default_factory=Counter)
    lived_ms: list[float] = field(default_factory=list)
    reconnects: int = 0


class PushCamera:
    """Plays a clip in real time into `CameraIngest.StreamFrames`; reconnects when the stream breaks."""

    def __init__(self, address: str, token: str, deployment: str, camera: str, *, quality: int = 92) -> None:
        self._address = address
        self._metadata = (
            ("authorization", f"Bearer {token}"),
            ("overt-deployment", deployment),
            ("overt-camera", camera),
        )
        self._quality = quality
        self._one_at_a_time = threading.Lock()
        self.result = PushResult()

    async def play(self, clip: Clip) -> PushResult:
        """Returns when every frame has been sent and its receipt is here. Rejected if it is let in no more, and
        whatever `pictures` raises."""
        source = iter(clip.pictures)
        started = time.monotonic()
        period = 1.0 / clip.frames_per_second
        while True:
            try:
                await self._one_stream(source, started, period)
                return self.result
            except grpc.aio.AioRpcError as error:
                told = to_overt_error(error)
                if not isinstance(told, Retryable):
                    raise told from error
                self.result.reconnects += 1
                await asyncio.sleep(0.3)

    async def _one_stream(self, source: Iterator[Picture], started: float, period: float) -> None:
        options = [("grpc.max_send_message_length", _MAX_MESSAGE)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            call = ingest_pb2_grpc.CameraIngestStub(channel).StreamFrames(metadata=self._metadata)
            sending = asyncio.create_task(self._send(call, source, started, period), name="send frames")
            try:
                async for receipt in call:
                    self._note(receipt)
            finally:
                sending.cancel()
                await asyncio.wait({sending})
            if not sending.cancelled():
                await sending

    async def _send(self, call: _Call, source: Iterator[Picture], started: float, period: float) -> None:
        """Until the clip or the call ends. Never waits for receipts."""
        while True:
            due = started + self.result.sent * period
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                jpeg = await asyncio.to_thread(self._next_jpeg, source)
            except Exception:
                # The call ends as it does after the last picture; then this error is what is told.
                await call.done_writing()
                raise
            if jpeg is None:
                await call.done_writing()
                return
            with span(SpanName.CAMERA_SEND):
                frame = ingest_pb2.Frame(sequence=self.result.sent + 1, jpeg=jpeg, traceparent=current_traceparent())
                frame.captured_at.GetCurrentTime()
                try:
                    await call.write(frame)
                except asyncio.InvalidStateError:  # the call has ended; its status tells why
                    return
            self.result.sent += 1

    def _next_jpeg(self, source: Iterator[Picture]) -> bytes | None:
        # A thread whose task was cancelled may still be in there when the next stream begins.
        with self._one_at_a_time:
            picture = next(source, None)
        if picture is None:
            return None
        jpeg: bytes = simplejpeg.encode_jpeg(
            np.ascontiguousarray(picture), quality=self._quality, colorspace="BGR", colorsubsampling="420"
        )
        return jpeg

    def _note(self, receipt: ingest_pb2.Receipt) -> None:
        outcome = ingest_pb2.Receipt.Outcome.Name(receipt.outcome).removeprefix("OUTCOME_").lower()
        self.result.receipts[outcome] += 1
        self.result.lived_ms.append(receipt.lived.ToTimedelta().total_seconds() * 1e3)
