"""A life of detect that ended in order is not lost; one that ended without a word is. Over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1.detect_pb2_grpc import add_DetectServicer_to_server
from overt.permissions import Role
from overt.rpc import RpcServer, connect
from overt.testing.ingest import FakeDetect
from overt.testing.rpc import Tokens
from overt_detect.handlers import Streams
from overt_ingest.adapters.detect import DetectClient
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.turns import Turns
from support.waiting import until

pytestmark = pytest.mark.integration


class Detect(FakeDetect):
    """Ends its streams as the real one does."""

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch=epoch)
        self.streams = Streams(8)

    async def Analyse(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AnalyseRequest], context: Any
    ) -> AsyncIterator[pb.AnalyseReply]:
        async def requests() -> AsyncIterator[pb.AnalyseRequest]:
            while (request := await self.streams.next_of(request_iterator)) is not None:
                yield request

        with self.streams.joined():
            async for reply in super().Analyse(requests(), context):
                yield reply


@pytest.mark.parametrize("orderly", [True, False])
async def test_only_a_life_that_ended_without_a_word_is_lost(tmp_path: Path, orderly: bool) -> None:
    tokens, address = Tokens(), f"unix:{tmp_path / 'detect.sock'}"

    async def serve(detect: Detect) -> RpcServer:
        server = RpcServer(address, verifier=tokens.verifier)
        add_DetectServicer_to_server(detect, server.grpc)
        await server.start()
        return server

    died: list[str] = []
    first, second = Detect("first"), Detect("second")
    server = await serve(first)
    async with connect(address, token=lambda: tokens.of(Role.SERVICE_INGEST)) as channel:
        clients = [DetectClient(channel, CameraSpec("dep", f"cam{number}"), Turns()) for number in range(2)]
        running = [asyncio.create_task(client.run(lambda: None, died.append)) for client in clients]
        await until(lambda: all(client.current for client in clients))
        if orderly:
            first.streams.close()
            await server.stop(1)
        else:
            await server.stop(0)
        server = await serve(second)
        await until(lambda: all(client.current and client.current.epoch == "second" for client in clients))
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    await server.stop(0)
    assert died == ([] if orderly else ["first", "first"])
