"""detect over gRPC: one Analyse stream a camera, kept open, one frame in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import grpc.aio
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc as pb_grpc
from overt.api.types.v1 import types_pb2
from overt.errors import OvertError, Rejected, Retryable
from overt.ids import StreamId, new_stream_id
from overt.reasons import Reason
from overt.retention import FRAME_CAP
from overt.ring import Lease, RingDoor
from overt.rpc import REASON_KEY, to_overt_error
from overt.telemetry import Metric, current_traceparent, get_logger, observe
from overt.wire import from_duration, to_timestamp

from overt_ingest.adapters.pixels import off_loop, wire_picture
from overt_ingest.adapters.ring import FrameRing
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Analysis, Away, Box, FoundFace, known_reason
from overt_ingest.domain.frame import Frame, Picture
from overt_ingest.turns import Turns

log = get_logger(__name__)

FRAME_DEADLINE_S = FRAME_CAP.total_seconds()
"""A frame that detect holds longer than this is given up, and with it the stream: it hangs."""

OPENING_DEADLINE_S = 5.0
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 30.0

_STEADY_S = 10.0
"""A stream that held this long was a good one: after it, backoff begins anew."""

_Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.AnalyseRequest, pb.AnalyseReply]"


class GrpcStream:
    """One open Analyse stream. Owns the call and the ring."""

    def __init__(self, call: _Call, ring: FrameRing, *, epoch: str, model_digest: str) -> None:
        self._call = call
        self._ring = ring
        self._stream = new_stream_id()
        self.epoch = epoch
        self.model_digest = model_digest
        self.broken = asyncio.Event()

    @property
    def stream(self) -> StreamId:
        return self._stream

    async def analyse(self, frame: Frame, *, pending: Sequence[int], settled: Sequence[int]) -> Analysis:
        """See the port. A reply to another frame, a late one and a lost stream all break it."""
        if self.broken.is_set():
            raise Away(Reason.DETECT_AWAY)
        message = _message(frame, pending, settled)
        slot: Lease | None = None
        try:
            async with asyncio.timeout(FRAME_DEADLINE_S):
                began = time.perf_counter()
                slot = await self._ring.put(frame.picture, message)
                if slot is None:
                    await _fill(message, frame.picture)
                self._measure(began, message)
                reply = await self._ask(message)
                if slot is not None:
                    slot.release()
                    if reply.rejected == Reason.NO_RING:
                        self._ring.give_up(Reason.NO_RING)
                        await _fill(message, frame.picture)
                        reply = await self._ask(message)
        except TimeoutError:
            self.end()
            raise Away(Reason.DEADLINE) from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            self.end()
            raise Away(Reason.DETECT_AWAY) from None
        except asyncio.CancelledError:
            # Of the camera, or of the call: then nothing else tells that the stream is over.
            self.end()
            if self._call.cancelled() and not _being_cancelled():
                raise Away(Reason.DETECT_AWAY) from None
            raise
        finally:
            if slot is not None:
                slot.quarantine()  # without an answer detect may still be reading
        return _analysis(reply)

    async def _ask(self, message: pb.FrameToAnalyse) -> pb.AnalyseReply:
        await self._call.write(pb.AnalyseRequest(frame=message))
        reply = await self._call.read()
        if not isinstance(reply, pb.AnalyseReply) or reply.sequence != message.sequence:
            self.end()
            raise Away(Reason.DETECT_AWAY)
        return reply

    def _measure(self, began: float, message: pb.FrameToAnalyse) -> None:
        kind = message.WhichOneof("picture") or "none"
        observe(Metric.FRAME_HANDED_OVER, (time.perf_counter() - began) * 1e3, kind=kind, **self._ring.names)

    @property
    def slot_bytes(self) -> int:
        """What its last ring was made for; 0 if it had none."""
        return self._ring.slot_bytes

    async def until_broken(self) -> bool:
        """Returns when the peer ends the stream, or `analyse` gave it up. Whether detect said that it is stopping."""
        ended = asyncio.ensure_future(self._call.code())
        given_up = asyncio.ensure_future(self.broken.wait())
        try:
            await asyncio.wait((ended, given_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            given_up.cancel()
            self.end()
        return (REASON_KEY, Reason.DETECT_AWAY) in tuple(await self._call.trailing_metadata())

    def end(self) -> None:
        """The call, its tracks and its ring. Idempotent."""
        self.broken.set()
        self._call.cancel()
        self._ring.close()


class DetectClient:
    """One camera's link to detect: a stream, and another one after a pause when it breaks."""

    def __init__(self, channel: grpc.aio.Channel, spec: CameraSpec, turns: Turns, door: RingDoor | None = None) -> None:
        """`turns` are told how many pictures detect looks at side by side. `door`: where detect fetches rings; None if
        it is on another host."""
        self._stub: Any = pb_grpc.DetectStub(channel)
        self._spec = spec
        self._turns = turns
        self._door = door
        self._slot_bytes = 0
        self._current: GrpcStream | None = None
        self._epoch = ""
        self._ended_in_order = False

    @property
    def current(self) -> GrpcStream | None:
        stream = self._current
        return None if stream is None or stream.broken.is_set() else stream

    async def run(self, changed: Callable[[], None], died: Callable[[str], None]) -> None:
        """Keeps a stream open until cancelled; see the port."""
        pause = BACKOFF_FIRST_S
        loop = asyncio.get_running_loop()
        while True:
            try:
                stream = await self._open()
            except OvertError as error:
                self._ended_in_order |= isinstance(error, Rejected) and error.reason is Reason.DETECT_AWAY
                log.warning("detect_away", error=error, **self._names)
                changed()
                await asyncio.sleep(pause)
                pause = min(BACKOFF_MOST_S, pause * 2)
                continue
            if self._epoch and self._epoch != stream.epoch and not self._ended_in_order:
                died(self._epoch)
            self._epoch = stream.epoch
            self._current = stream
            opened_at = loop.time()
            log.info("detect_here", epoch=stream.epoch, **self._names)
            changed()
            try:
                self._ended_in_order = await stream.until_broken()
            finally:
                self._current = None
                self._slot_bytes = stream.slot_bytes
            changed()
            if loop.time() - opened_at > _STEADY_S:
                pause = BACKOFF_FIRST_S
            log.warning("detect_lost", epoch=stream.epoch, **self._names)
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MOST_S, pause * 2)

    @property
    def _names(self) -> dict[str, str]:
        return {"deployment": self._spec.deployment, "camera": self._spec.camera}

    async def _open(self) -> GrpcStream:
        """OvertError if detect cannot be reached or will not."""
        spec = self._spec
        ring = FrameRing(self._door, spec)
        stream: GrpcStream | None = None
        try:
            async with asyncio.timeout(OPENING_DEADLINE_S):
                told = await self._stub.Describe(pb.DescribeRequest())
                self._turns.side_by_side(told.side_by_side)
                call = self._stub.Analyse()
                stream = GrpcStream(call, ring, epoch=told.epoch, model_digest=told.model_digest)
                ring.prepare(self._slot_bytes)
                opening = pb.Opening(
                    deployment=spec.deployment,
                    camera=spec.camera,
                    smallest_face_px=spec.smallest_face_px,
                    zone=[types_pb2.Point(x=x, y=y) for x, y in spec.zone],
                    ring_id=ring.id,
                )
                attached = await open_call(call, opening)
        except BaseException as error:
            if stream is not None:
                stream.end()
            if isinstance(error, grpc.aio.AioRpcError):
                raise to_overt_error(error) from None
            if isinstance(error, TimeoutError | asyncio.InvalidStateError):
                raise Retryable("detect does not answer") from None
            raise
        if ring.id and not attached:
            ring.give_up(Reason.NO_RING)
        return stream


async def open_call(call: _Call, opening: pb.Opening) -> bool:
    """Begins an Analyse stream; whether detect has its ring. Retryable if it answers otherwise than it should, and
    what the call raises."""
    await call.write(pb.AnalyseRequest(opening=opening))
    reply = await call.read()
    if not isinstance(reply, pb.AnalyseReply) or reply.sequence != 0:
        raise Retryable("detect does not open the stream")
    return reply.ring_attached


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _message(frame: Frame, pending: Sequence[int], settled: Sequence[int]) -> pb.FrameToAnalyse:
    """Without the picture."""
    return pb.FrameToAnalyse(
        sequence=frame.sequence,
        captured_at=to_timestamp(frame.arrival.captured_at),
        pending_tracks=pending,
        settled_tracks=settled,
        traceparent=current_traceparent(),
    )


async def _fill(message: pb.FrameToAnalyse, picture: Picture) -> None:
    """The message holds a copy of the picture; it is gone with the last reference to the message."""
    if (jpeg := picture.jpeg) is not None:
        message.jpeg = jpeg
    else:
        await off_loop(_fill_in, message, picture)


def _fill_in(message: pb.FrameToAnalyse, picture: Picture) -> None:
    jpeg, raw = wire_picture(picture)
    if jpeg is not None:
        message.jpeg = jpeg
    elif raw is not None:
        message.raw.height, message.raw.width = raw.shape[:2]
        message.raw.bgr = raw.tobytes()


def _analysis(reply: pb.AnalyseReply) -> Analysis:
    return Analysis(
        faces=[
            FoundFace(
                track=face.track,
                box=Box(face.box.x, face.box.y, face.box.width, face.box.height),
                template=face.template,
                refused=face.refused,
            )
            for face in reply.faces
        ],
        ended_tracks=list(reply.ended_tracks),
        rejected=known_reason(reply.rejected) if reply.rejected else "",
        waited_s=from_duration(reply.waited).total_seconds(),
    )
