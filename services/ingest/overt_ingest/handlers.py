"""The gRPC service CameraIngest: thin, between a stream of messages and a camera's door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.api.ingest.v1 import ingest_pb2_grpc
from overt.auth import Claims
from overt.errors import Rejected, Retryable
from overt.ledger import FrameClass
from overt.reasons import Reason
from overt.rpc import caller
from overt.runtime import Clock
from overt.telemetry import get_logger
from overt.wire import optional_from_timestamp, to_duration

from overt_ingest.adapters.pixels import pushed_picture
from overt_ingest.camera import Visit
from overt_ingest.domain.books import Fate
from overt_ingest.domain.frame import Arrival

log = get_logger(__name__)

DEPLOYMENT_KEY = "overt-deployment"
CAMERA_KEY = "overt-camera"

MOST_UNREAD_RECEIPTS = 1000
"""A receipt has 30 bytes; a camera that does not read 40 s of them is not following the protocol."""

LAST_RECEIPTS_S = 5.0
"""How long a stream that has sent its last frame waits for the receipts: detect's deadline, for the frame that it has
and for the one that waits, and some."""

_OUTCOMES = {
    FrameClass.SUPERSEDED: pb.Receipt.OUTCOME_SUPERSEDED,
    FrameClass.REJECTED: pb.Receipt.OUTCOME_REJECTED,
    FrameClass.UNANALYSED: pb.Receipt.OUTCOME_UNANALYSED,
}


class Handlers(ingest_pb2_grpc.CameraIngestServicer):
    """`visit` opens a camera's door: Rejected with what is wrong."""

    def __init__(self, *, visit: Callable[[str, str], Visit], clock: Clock) -> None:
        self._visit = visit
        self._clock = clock

    async def StreamFrames(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.Frame], context: Any
    ) -> AsyncIterator[pb.Receipt]:
        claims = caller()
        metadata = context.invocation_metadata()
        deployment, camera = bound_to(claims, metadata)
        visit = self._visit(deployment, camera)
        log.info("push_began", deployment=deployment, camera=camera)
        stay = _Stay(visit, claims, self._clock, traceparent=_value(metadata, "traceparent"))
        reading = asyncio.create_task(stay.read(request_iterator), name=f"{deployment}/{camera} push")
        try:
            async for receipt in stay.receipts(reading):
                yield receipt
            await reading
        finally:
            visit.leave()
            reading.cancel()
            with suppress(asyncio.CancelledError, Rejected, Retryable):
                await reading
            log.info("push_ended", deployment=deployment, camera=camera, frames=stay.entered)


def bound_to(claims: Claims, metadata: Any) -> tuple[str, str]:
    """(deployment, camera) that the call names, if the token is bound to just these; else Rejected(WRONG_CAMERA).

    The same answer for what does not exist: a camera learns about itself only.
    """
    deployment, camera = _value(metadata, DEPLOYMENT_KEY), _value(metadata, CAMERA_KEY)
    if not deployment or not camera:
        raise Rejected(Reason.WRONG_CAMERA, f"name the deployment and the camera: {DEPLOYMENT_KEY}, {CAMERA_KEY}")
    if (claims.deployment, claims.camera) != (deployment, camera):
        raise Rejected(Reason.WRONG_CAMERA, "this token is another camera's")
    return deployment, camera


class _Stay:
    """One push stream: frames in, receipts out, in whatever order the frames end."""

    def __init__(self, visit: Visit, claims: Claims, clock: Clock, *, traceparent: str) -> None:
        """`traceparent`: of the call, for frames that bring none. Without either, a frame begins a trace of its own:
        a camera's stream lasts for hours, and that is no trace anybody could read."""
        self._visit = visit
        self._claims = claims
        self._clock = clock
        self._receipts: asyncio.Queue[pb.Receipt] = asyncio.Queue()
        self._traceparent = traceparent
        self._owed = 0
        self._news = asyncio.Event()
        self.entered = 0

    async def read(self, frames: AsyncIterator[pb.Frame]) -> None:
        """Until the camera stops sending, or is told to: Rejected(CAMERA_CLOSED, TOKEN_EXPIRED), Retryable."""
        closing = asyncio.ensure_future(self._visit.camera.closing.wait())
        iterator = aiter(frames)
        following: asyncio.Future[Any] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(iterator, None))
                await asyncio.wait((following, closing), return_when=asyncio.FIRST_COMPLETED)
                if closing.done():
                    raise Rejected(Reason.CAMERA_CLOSED, "this camera is closed")
                frame = following.result()
                following = None
                if frame is None:
                    return
                self._admit(frame)
                del frame
        finally:
            closing.cancel()
            if following is not None:
                following.cancel()
            # The door is free for the camera's next stream while this one waits for its last receipts.
            self._visit.leave()
            self._news.set()

    async def receipts(self, reading: asyncio.Task[None]) -> AsyncIterator[pb.Receipt]:
        """Every receipt, until nothing more is read and nothing more is owed."""
        patience: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            while not self._receipts.empty():
                yield self._receipts.get_nowait()
            if reading.done():
                patience = patience or loop.time() + LAST_RECEIPTS_S
                if self._owed == 0 or loop.time() >= patience:
                    return
            self._news.clear()
            if self._receipts.empty():
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(patience):
                        await self._news.wait()

    def _admit(self, frame: pb.Frame) -> None:
        if self._clock.now() >= self._claims.expires_at:
            raise Rejected(Reason.TOKEN_EXPIRED, "the camera's token has expired")
        if self._receipts.qsize() >= MOST_UNREAD_RECEIPTS:
            raise Retryable("the receipts are not read")
        sequence, jpeg = frame.sequence, frame.jpeg

        def answer(fate: Fate | None, arrival: Arrival) -> None:
            self._owed -= 1
            self._receipts.put_nowait(receipt_of(sequence, fate, arrival, self._clock.monotonic()))
            self._news.set()

        self._owed += 1
        try:
            self._visit.admit(
                sequence=sequence,
                captured_at=_captured_at(frame),
                picture=lambda: pushed_picture(jpeg),
                answer=answer,
                traceparent=frame.traceparent or self._traceparent,
            )
        except BaseException:
            self._owed -= 1
            raise
        self.entered += 1


def receipt_of(sequence: int, fate: Fate | None, arrival: Arrival, now: float) -> pb.Receipt:
    """What a camera is told of its frame: that it was analysed (None), or why it was not. Never whether anybody was in
    it, nor whether that was somebody on the list."""
    receipt = pb.Receipt(sequence=sequence, outcome=pb.Receipt.OUTCOME_ACCEPTED, lived=to_duration(arrival.lived(now)))
    if fate is not None:
        # One that the closing camera cut short has a class of its own in the books.
        receipt.outcome = _OUTCOMES.get(FrameClass(fate.kind), pb.Receipt.OUTCOME_UNANALYSED)
        if receipt.outcome != pb.Receipt.OUTCOME_SUPERSEDED:
            receipt.reason = fate.code
    return receipt


def _value(metadata: Any, key: str) -> str:
    return next((str(value) for name, value in metadata or () if name == key), "")


def _captured_at(frame: pb.Frame) -> datetime | None:
    try:
        return optional_from_timestamp(frame.captured_at)
    except Rejected:
        return None
