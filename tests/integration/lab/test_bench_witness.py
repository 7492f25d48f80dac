"""The witness between ingest and detect: passes on what it is given, and remembers what was found where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.wire import to_timestamp
from overt_lab.bench.witness import Witness

pytestmark = [pytest.mark.integration, pytest.mark.timeout(30)]

CAPTURED = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


class Detect(detect_pb2_grpc.DetectServicer):
    """Finds two faces in every frame, and templates the second."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def _let_in(self, context: Any) -> None:
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeReply:  # noqa: N802
        self._let_in(context)
        return pb.DescribeReply(epoch="e", model_digest="d")

    async def Analyse(  # noqa: N802
        self, requests: AsyncIterator[pb.AnalyseRequest], context: Any
    ) -> AsyncIterator[pb.AnalyseReply]:
        self._let_in(context)
        async for request in requests:
            if request.WhichOneof("what") == "opening":
                if request.opening.camera == "refused":
                    context.set_trailing_metadata((("overt-reason", "bad_field"),))
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such camera")
                yield pb.AnalyseReply(sequence=0)
                continue
            reply = pb.AnalyseReply(sequence=request.frame.sequence, width=640, height=360)
            for number in (1, 2):
                face = reply.faces.add(track=number, template=b"t" if number == 2 else b"")
                face.box.x, face.box.width, face.box.height = 100 * number, 40, 50
            yield reply


@pytest.fixture
async def between(tmp_path: Path) -> AsyncIterator[tuple[Witness, Detect, Any]]:
    detect, server = Detect(), grpc.aio.server()
    detect_pb2_grpc.add_DetectServicer_to_server(detect, server)
    address = f"unix:{tmp_path / 'd.sock'}"
    server.add_insecure_port(address)
    await server.start()
    witness = Witness(tmp_path / "w.sock", lambda: address)
    await witness.start()
    async with grpc.aio.insecure_channel(witness.address) as channel:
        yield witness, detect, detect_pb2_grpc.DetectStub(channel)
    await witness.close()
    await server.stop(None)


async def _ask(stub: Any, opening: pb.Opening, frames: int = 1) -> list[pb.AnalyseReply]:
    call = stub.Analyse(metadata=(("authorization", "Bearer x"),))
    await call.write(pb.AnalyseRequest(opening=opening))
    replies = [await call.read()]
    for number in range(1, frames + 1):
        frame = pb.FrameToAnalyse(sequence=number, captured_at=to_timestamp(CAPTURED), jpeg=b"j")
        await call.write(pb.AnalyseRequest(frame=frame))
        replies.append(await call.read())
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return replies


async def test_answers_pass_and_are_remembered(between: tuple[Witness, Detect, Any]) -> None:
    witness, detect, stub = between
    replies = await _ask(stub, pb.Opening(deployment="d", camera="cam-0"), frames=2)
    assert [reply.sequence for reply in replies] == [0, 1, 2]
    first, _ = witness.notes
    assert first.camera == "cam-0"
    assert first.captured_at == pytest.approx(CAPTURED.timestamp(), abs=1e-6)
    assert first.boxes == ((100, 0, 40, 50), (200, 0, 40, 50))
    assert first.shots == ((1, 2),)
    assert detect.tokens == ["Bearer x"]


async def test_ingests_own_questions_are_not_remembered(between: tuple[Witness, Detect, Any]) -> None:
    witness, _, stub = between
    nowhere = pb.Opening(deployment="d", camera="cam-0")
    for _ in range(3):
        nowhere.zone.add()
    assert len(await _ask(stub, nowhere)) == 2
    assert witness.notes == []


async def test_who_detect_is_and_what_it_refuses_pass_too(between: tuple[Witness, Detect, Any]) -> None:
    _, _, stub = between
    assert (await stub.Describe(pb.DescribeRequest())).model_digest == "d"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _ask(stub, pb.Opening(deployment="d", camera="refused"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ("overt-reason", "bad_field") in [(k, v) for k, v in refused.value.trailing_metadata()]
