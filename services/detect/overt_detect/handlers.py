"""The gRPC service Detect: thin, between messages and use cases."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, TypeVar

from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import Metric, SpanName, count, gauge, get_logger, span
from overt.wire import from_timestamp, template_to_bytes, to_duration

from overt_detect import wire
from overt_detect.analysing import Analysis, StreamAnalysis
from overt_detect.enrolling import Enrolment
from overt_detect.pool import InferencePool
from overt_detect.ports import Picture, Pixels, SharedPictures

T = TypeVar("T")

log = get_logger(__name__)


LAST_FRAME_S = 0.1
"""A closing service lets a stream send the frame that it is about to send, and ends it then: the status of one that
ends while its sender writes would be lost on the way (`overt.rpc.errors`)."""


class Streams:
    """Counts the open Analyse streams; Retryable when there are too many. When the service is closing, each of them is
    Rejected(DETECT_AWAY): its sender knows then that this life of detect ends in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._closing = False
        self._patience: set[asyncio.Timeout] = set()
        """Of those that wait for their next frame."""

    def close(self) -> None:
        """From now on no stream begins and none takes another frame: all of them end, in LAST_FRAME_S at most."""
        self._closing = True
        for patience in self._patience:
            patience.reschedule(asyncio.get_running_loop().time() + LAST_FRAME_S)

    async def next_of(self, requests: AsyncIterator[T]) -> T | None:
        """What a stream says next; None at its end."""
        request: T | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_FRAME_S if self._closing else None) as patience:
                self._patience.add(patience)
                try:
                    request = await anext(requests, None)
                finally:
                    self._patience.discard(patience)
        self._check_open()
        return request

    def _check_open(self) -> None:
        if self._closing:
            raise Rejected(Reason.DETECT_AWAY, "detect is stopping")

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        self._check_open()
        if self._open >= self._most:
            raise Retryable(f"detect serves {self._most} streams already")
        self._open += 1
        gauge(Metric.STREAMS_OPEN, self._open)
        try:
            yield
        finally:
            self._open -= 1
            gauge(Metric.STREAMS_OPEN, self._open)


class Handlers(detect_pb2_grpc.DetectServicer):
    """`begin` makes the analysis of a stream from its opening; `description` is what Describe answers."""

    def __init__(
        self,
        *,
        begin: Callable[[wire.StreamOpening], StreamAnalysis],
        enrolment: Enrolment,
        pool: InferencePool,
        streams: Streams,
        description: pb.DescribeReply,
        from_jpeg: Callable[[bytes], Pixels],
        from_raw: Callable[[int, int, bytes], Pixels],
        share_pictures: Callable[[], SharedPictures],
        decode_reference: Callable[[bytes], Picture],
        encode_reference: Callable[[Picture], bytes],
    ) -> None:
        self._begin = begin
        self._enrolment = enrolment
        self._pool = pool
        self._streams = streams
        self._description = description
        self._from_jpeg = from_jpeg
        self._from_raw = from_raw
        self._share_pictures = share_pictures
        self._decode_reference = decode_reference
        self._encode_reference = encode_reference

    async def Analyse(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AnalyseRequest], context: Any
    ) -> AsyncIterator[pb.AnalyseReply]:
        with self._streams.joined(), contextlib.closing(self._share_pictures()) as shared:
            analysis: StreamAnalysis | None = None
            while (request := await self._streams.next_of(request_iterator)) is not None:
                what = request.WhichOneof("what")
                if analysis is None and what == "opening":
                    told = wire.opening(request.opening)
                    log.info("stream_opened", deployment=told.deployment, camera=told.camera)
                    analysis = self._begin(told)
                    yield pb.AnalyseReply(ring_attached=await _attached(shared, request.opening.ring_id))
                elif analysis is not None and what == "frame":
                    reply = await self._analyse(analysis, request.frame, shared)
                    # While the stream waits for its next frame nothing here holds on to the last one.
                    del request
                    yield reply
                    if reply.rejected == Reason.STALE_SLOT:
                        # Its sender has given the frame up, and what was seen of it may already be in the tracks.
                        return
                    del reply
                else:
                    raise Rejected(Reason.BAD_MESSAGE, "a stream is one opening, then frames")

    async def Enrol(self, request: pb.EnrolRequest, context: Any) -> pb.EnrolReply:  # noqa: N802
        with span(SpanName.DETECT_ENROL) as told:
            try:
                reply = await self._pool.run_enrolment(lambda: self._enrol(request.image))
            except Rejected as refusal:
                told.fail(refusal.reason)
                reply = pb.EnrolReply(reason=refusal.reason)
        count(Metric.ENROLLED, outcome=reply.reason or "ok")
        return reply

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeReply:  # noqa: N802
        return self._description

    async def _analyse(
        self, analysis: StreamAnalysis, frame: pb.FrameToAnalyse, shared: SharedPictures
    ) -> pb.AnalyseReply:
        asked = began = time.perf_counter()
        with span(SpanName.DETECT_ANALYSE, parent=frame.traceparent) as told:
            try:
                shown = await self._shown(frame, shared)
                at = from_timestamp(frame.captured_at).timestamp()
                pending, settled = frozenset(frame.pending_tracks), frozenset(frame.settled_tracks)

                def look() -> Analysis:
                    nonlocal began
                    began = time.perf_counter()
                    with shown as picture:
                        return analysis.analyse(picture, at=at, pending=pending, settled=settled)

                found = await self._pool.run(look)
                reply = wire.analysed(frame.sequence, found)
            except Rejected as refusal:
                told.fail(refusal.reason)
                reply = pb.AnalyseReply(sequence=frame.sequence, rejected=refusal.reason)
        reply.waited.CopyFrom(to_duration(timedelta(seconds=began - asked)))
        reply.took.CopyFrom(to_duration(timedelta(seconds=time.perf_counter() - asked)))
        return reply

    async def _shown(
        self, frame: pb.FrameToAnalyse, shared: SharedPictures
    ) -> AbstractContextManager[Callable[[], Pixels]]:
        if frame.WhichOneof("picture") == "slot":
            slot = frame.slot
            return await shared.shown(
                ring_id=slot.ring_id,
                index=slot.index,
                generation=slot.generation,
                width=slot.width,
                height=slot.height,
            )
        return contextlib.nullcontext(wire.picture(frame, from_jpeg=self._from_jpeg, from_raw=self._from_raw))

    def _enrol(self, image: bytes) -> pb.EnrolReply:
        reference = self._enrolment.enrol(self._decode_reference(image))
        return pb.EnrolReply(
            template=template_to_bytes(reference.template),
            reference_jpeg=self._encode_reference(reference.crop),
            quality=wire.quality(reference.quality),
        )


async def _attached(shared: SharedPictures, ring_id: str) -> bool:
    if not ring_id:
        return False
    try:
        await shared.attach(ring_id)
    except Rejected as refusal:
        log.warning("ring_not_attached", reason=refusal.reason)
        return False
    return True
