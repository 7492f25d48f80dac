"""Stands between ingest and detect, on the wire they speak anyway, and notes what detect answers.

Which faces were templated in which picture is known to these two alone, and neither has a way to be asked: so the bench
is asked for by ingest as `detect`, passes every message on as it is, and keeps boxes, track numbers and times of the
answers, in memory. It costs a fraction of a millisecond a picture, so it stands there in a run of its own, and never
while anything is timed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from overt.api.detect.v1 import detect_pb2 as pb

from overt_lab.bench.people import Box

_SERVICE = "overt.api.detect.v1.Detect"
_MAX_MESSAGE = 9 * 1024 * 1024
_OPTIONS = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]
_PASSED_ON = frozenset({"authorization", "traceparent"})
_MOST_NOTES = 200_000


class Note:
    """One answer: of which camera's stream, when its picture was captured (seconds since 1970), what was found."""

    __slots__ = ("boxes", "camera", "captured_at", "shots", "stream")

    def __init__(self, stream: int, camera: str, captured_at: float, reply: pb.AnalyseReply) -> None:
        self.stream = stream
        self.camera = camera
        self.captured_at = captured_at
        self.boxes: tuple[Box, ...] = tuple((f.box.x, f.box.y, f.box.width, f.box.height) for f in reply.faces)
        self.shots = tuple((place, face.track) for place, face in enumerate(reply.faces) if face.template)


class Witness:
    """`start` and `close` belong to one event loop."""

    def __init__(self, socket: Path, detect: Callable[[], str]) -> None:
        """`detect`: its address, once it is known."""
        self._socket = socket
        self._detect = detect
        self._server = grpc.aio.server(options=_OPTIONS)
        self._channel: grpc.aio.Channel | None = None
        self._streams = 0
        self.notes: list[Note] = []

    @property
    def address(self) -> str:
        return f"unix:{self._socket}"

    async def start(self) -> None:
        handlers: dict[str, Any] = {
            "Analyse": grpc.stream_stream_rpc_method_handler(self._analyse),
            "Describe": grpc.unary_unary_rpc_method_handler(self._describe),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def close(self) -> None:
        await self._server.stop(grace=0.2)
        if self._channel is not None:
            await self._channel.close()

    def _peer(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._detect(), options=_OPTIONS)
        return self._channel

    async def _describe(self, request: bytes, context: Any) -> bytes:
        ask: Any = self._peer().unary_unary(f"/{_SERVICE}/Describe")
        with _told_on(context):
            reply: bytes = await ask(request, metadata=_metadata(context), timeout=context.time_remaining())
        return reply

    async def _analyse(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        self._streams += 1
        stream = _Stream(self._streams, self.notes)

        async def passed_on() -> AsyncIterator[bytes]:
            async for request in requests:
                stream.asked(request)
                yield request

        analyse: Any = self._peer().stream_stream(f"/{_SERVICE}/Analyse")
        call = analyse(passed_on(), metadata=_metadata(context))
        try:
            with _told_on(context):
                async for reply in call:
                    stream.answered(reply)
                    yield reply
        finally:
            call.cancel()


class _Stream:
    """One Analyse stream. Those on which ingest asks about pictures that are no camera's are not noted."""

    def __init__(self, number: int, notes: list[Note]) -> None:
        self._number = number
        self._notes = notes
        self._camera: str | None = None
        self._captured: dict[int, float] = {}

    def asked(self, request: bytes) -> None:
        message = pb.AnalyseRequest.FromString(request)
        if message.WhichOneof("what") == "opening":
            # A camera of the bench has no zone; ingest's own questions have one in which nobody is.
            self._camera = None if message.opening.zone else message.opening.camera
        elif self._camera is not None:
            self._captured[message.frame.sequence] = message.frame.captured_at.ToNanoseconds() / 1e9

    def answered(self, reply: bytes) -> None:
        if self._camera is None or len(self._notes) >= _MOST_NOTES:
            return
        message = pb.AnalyseReply.FromString(reply)
        captured_at = self._captured.pop(message.sequence, None)
        if captured_at is not None and not message.rejected:
            self._notes.append(Note(self._number, self._camera, captured_at, message))


def _metadata(context: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((key, value) for key, value in context.invocation_metadata() if key in _PASSED_ON)


@contextlib.contextmanager
def _told_on(context: Any) -> Iterator[None]:
    """What detect refuses is refused in the same words."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        context.set_trailing_metadata(_pairs(error.trailing_metadata()))
        context.set_code(error.code())
        context.set_details(error.details() or "")


def _pairs(metadata: Iterable[Any] | None) -> tuple[Any, ...]:
    return tuple((key, value) for key, value in metadata or ())
