"""The peers of ingest, faked where the wire is: detect over real gRPC, match over any bus.

detect = FakeDetect(lambda frame: [face(track=1, template=unit_template())])
async with serving(lambda server: add_DetectServicer_to_server(detect, server)) as served: ...
match = FakeMatch(lambda request: match_pb2.SearchReply(decision=...)); await match.serve(bus)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overt.api.detect.v1 import detect_pb2 as detect
from overt.api.detect.v1 import detect_pb2_grpc
from overt.api.match.v1 import match_pb2 as match
from overt.api.types.v1 import types_pb2 as types
from overt.bus import Bus, Subscription
from overt.ids import new_epoch
from overt.ring import RingView
from overt.subjects import SEARCH

Faces = Sequence[detect.FoundFace]


def face(
    track: int = 0,
    *,
    box: tuple[float, float, float, float] = (100, 100, 80, 100),
    template: bytes = b"",
    refused: str = "",
) -> detect.FoundFace:
    """A shot with a template, and without one a face that is refused."""
    x, y, width, height = box
    return detect.FoundFace(
        track=track,
        box=types.Box(x=x, y=y, width=width, height=height),
        template=template,
        refused=refused or ("" if template else "not_better"),
    )


@dataclass(frozen=True)
class SeenFrame:
    """What detect was told of a frame. Never its pixels: only how many bytes the message had of them, and the size of
    the picture unless it is a JPEG."""

    sequence: int
    kind: str
    bytes: int
    pending: tuple[int, ...]
    settled: tuple[int, ...]
    traceparent: str
    width: int = 0
    height: int = 0


@dataclass
class FakeDetect(detect_pb2_grpc.DetectServicer):
    """`find` says which faces are in a frame; a whole AnalyseReply may be given instead. `find_again` is asked when
    ingest has its masking checked: on a stream whose zone is nowhere."""

    find: Callable[[detect.FrameToAnalyse], Faces | detect.AnalyseReply] = lambda frame: []
    find_again: Callable[[detect.FrameToAnalyse], Faces] = lambda frame: []
    epoch: str = field(default_factory=new_epoch)
    model_digest: str = "fake-model"
    frames: list[SeenFrame] = field(default_factory=list)
    openings: list[detect.Opening] = field(default_factory=list)
    questions: int = 0
    ring_socket: Path | None = None
    """Where rings are to be had. It takes frames in slots then; `read_slot` reads one."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: it holds on to the next frame."""

    def __post_init__(self) -> None:
        self.answering.set()

    async def Describe(self, request: detect.DescribeRequest, context: Any) -> detect.DescribeReply:  # noqa: N802
        return detect.DescribeReply(epoch=self.epoch, pack="fake", model_digest=self.model_digest, template_length=4)

    async def Analyse(  # noqa: N802
        self, request_iterator: AsyncIterator[detect.AnalyseRequest], context: Any
    ) -> AsyncIterator[detect.AnalyseReply]:
        question = False
        async for request in request_iterator:
            if request.WhichOneof("what") == "opening":
                question = _is_nowhere(request.opening)
                if not question:
                    self.openings.append(request.opening)
                yield detect.AnalyseReply(ring_attached=bool(request.opening.ring_id and self.ring_socket))
                continue
            frame = request.frame
            if question:
                self.questions += 1
                yield detect.AnalyseReply(sequence=frame.sequence, faces=self.find_again(frame))
                continue
            if frame.WhichOneof("picture") == "slot" and self.ring_socket is None:
                yield detect.AnalyseReply(sequence=frame.sequence, rejected="no_ring")
                continue
            self.frames.append(_seen(frame))
            await self.answering.wait()
            found = self.find(frame)
            reply = found if isinstance(found, detect.AnalyseReply) else detect.AnalyseReply(faces=found)
            reply.sequence = frame.sequence
            yield reply


def _is_nowhere(opening: detect.Opening) -> bool:
    return bool(opening.zone) and all(corner.x < 1e-3 and corner.y < 1e-3 for corner in opening.zone)


def read_slot(slot: detect.Slot, door: Path) -> bytes:
    """A copy of the planes. Blocks, so the door must be another thread's or process's."""
    view = RingView.attach(door, slot.ring_id, timeout=2)
    try:
        with view.slot(slot.index, slot.generation, slot.width * slot.height * 3 // 2) as planes:
            return bytes(planes)
    finally:
        view.close()


def _seen(frame: detect.FrameToAnalyse) -> SeenFrame:
    kind = frame.WhichOneof("picture") or ""
    inside = len(frame.raw.bgr) if kind == "raw" else len(frame.jpeg)
    shape = frame.slot if kind == "slot" else frame.raw
    return SeenFrame(
        sequence=frame.sequence,
        kind=kind,
        bytes=inside,
        pending=tuple(frame.pending_tracks),
        settled=tuple(frame.settled_tracks),
        traceparent=frame.traceparent,
        width=shape.width,
        height=shape.height,
    )


@dataclass
class FakeMatch:
    """`judge` answers every search. Remembers how many probes each had."""

    judge: Callable[[match.SearchRequest], match.SearchReply]
    searches: list[int] = field(default_factory=list)

    async def serve(self, bus: Bus) -> Subscription:
        return await bus.serve(SEARCH, match.SearchRequest, self._answer, name="match")

    async def _answer(self, subject: str, request: match.SearchRequest) -> match.SearchReply:
        self.searches.append(len(request.probes))
        return self.judge(request)


def two_agree(
    entry_id: str, card: bytes = b"sealed card", *, rival_card: bytes = b""
) -> Callable[[match.SearchRequest], match.SearchReply]:
    """A judge for whom every probe is the same entry: one is pending, two agree. With `rival_card`, another entry is
    about as like."""

    def judge(request: match.SearchRequest) -> match.SearchReply:
        if len(request.probes) < 2:
            return match.SearchReply(decision=match.SearchReply.DECISION_PENDING, list_revision=1)
        return match.SearchReply(
            decision=match.SearchReply.DECISION_AGREED,
            list_revision=1,
            entry_id=entry_id,
            score=0.61,
            threshold=0.4,
            uncalibrated=True,
            agreeing=[0, 1],
            sealed_entry_card=card,
            ambiguous=bool(rival_card),
            sealed_rival_card=rival_card,
        )

    return judge


def nobody_matches(request: match.SearchRequest) -> match.SearchReply:
    """A judge for whom nobody is on the list."""
    return match.SearchReply(decision=match.SearchReply.DECISION_NO_MATCH, list_revision=1)
