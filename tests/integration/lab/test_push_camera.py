"""The software camera against a door that answers, breaks and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import numpy as np
import pytest
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from overt.errors import Fatal, Rejected
from overt.reasons import Reason
from overt_lab.camera import Clip, Picture, PushCamera
from support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(30)]


class Door(ingest_pb2_grpc.CameraIngestServicer):
    """Accepts every frame; breaks the first stream after `breaks_after` frames, or lets nobody in."""

    def __init__(self) -> None:
        self.address = ""
        self.sequences: list[int] = []
        self.metadata: dict[str, str] = {}
        self.breaks_after = 0
        self.refuses: grpc.StatusCode | None = None

    async def StreamFrames(  # noqa: N802 - the name is the contract's
        self, request_iterator: AsyncIterator[ingest_pb2.Frame], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ingest_pb2.Receipt]:
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        if self.refuses:
            await context.abort(self.refuses, "no")
        async for frame in request_iterator:
            assert frame.jpeg[:2] == b"\xff\xd8"
            self.sequences.append(frame.sequence)
            receipt = ingest_pb2.Receipt(sequence=frame.sequence, outcome=ingest_pb2.Receipt.OUTCOME_ACCEPTED)
            receipt.lived.FromMilliseconds(5)
            yield receipt
            if len(self.sequences) == self.breaks_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    server = grpc.aio.server()
    ingest_pb2_grpc.add_CameraIngestServicer_to_server(door, server)
    door.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield door
    await server.stop(0)


def _pictures(count: int, fails_after: int | None = None) -> Iterator[Picture]:
    for number in range(count):
        if number == fails_after:
            raise Fatal("clip.mp4 is damaged")
        yield np.full((120, 160, 3), number, np.uint8)


def _camera(door: Door) -> PushCamera:
    return PushCamera(door.address, "the-token", "deployment-1", "camera-1")


async def test_every_frame_is_sent_and_every_receipt_counted(door: Door) -> None:
    result = await _camera(door).play(Clip(_pictures(10), 100))
    assert door.sequences == list(range(1, 11))
    assert (result.sent, dict(result.receipts), result.reconnects) == (10, {"accepted": 10}, 0)
    assert result.lived_ms == [5.0] * 10
    wanted = {"authorization": "Bearer the-token", "overt-deployment": "deployment-1", "overt-camera": "camera-1"}
    assert wanted.items() <= door.metadata.items()


async def test_it_plays_in_real_time(door: Door) -> None:
    began = asyncio.get_running_loop().time()
    await _camera(door).play(Clip(_pictures(6), 20))
    assert 0.25 <= asyncio.get_running_loop().time() - began < 5


async def test_a_broken_stream_is_begun_again_where_the_clip_is(door: Door) -> None:
    door.breaks_after = 3
    result = await _camera(door).play(Clip(_pictures(20), 100))
    assert result.reconnects == 1
    assert door.sequences == sorted(set(door.sequences)), "no frame twice, and in order"
    assert door.sequences[-1] == result.sent, "and the last one is the clip's last"


async def test_one_that_is_not_let_in_says_so(door: Door) -> None:
    door.refuses = grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(Rejected) as refused:
        await _camera(door).play(Clip(_pictures(5), 100))
    assert refused.value.reason is Reason.TOKEN_INVALID


async def test_a_clip_that_fails_ends_the_call_and_is_told(door: Door) -> None:
    """It once waited for ever: the door waited for frames, and the camera for receipts."""
    camera = _camera(door)
    with pytest.raises(Fatal, match=r"clip\.mp4 is damaged"):
        await asyncio.wait_for(camera.play(Clip(_pictures(10, fails_after=4), 100)), 10)
    assert camera.result.sent == 4
    assert camera.result.receipts["accepted"] == 4, "what was under way came to its end"


async def test_one_that_is_cut_short_knows_what_it_sent(door: Door) -> None:
    camera = _camera(door)
    playing = asyncio.create_task(camera.play(Clip(_pictures(1000), 50)))
    await until(lambda: camera.result.sent >= 5)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert 5 <= camera.result.sent < 1000
