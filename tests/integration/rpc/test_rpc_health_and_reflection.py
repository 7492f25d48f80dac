"""What anybody may ask without a token, is it serving, and with any token: what does it offer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from overt.api.detect.v1 import detect_pb2_grpc
from overt.permissions import Role
from overt.rpc import RpcServer, connect
from overt.rpc.health import MOST_WATCHERS
from overt.testing.rpc import Tokens

pytestmark = pytest.mark.integration

DETECT = "overt.api.detect.v1.Detect"
Status = health_pb2.HealthCheckResponse


class Detect(detect_pb2_grpc.DetectServicer):
    Analyse: Any = None
    Enrol: Any = None
    Describe: Any = None


@contextlib.asynccontextmanager
async def started(role: Role | None = None) -> AsyncIterator[tuple[RpcServer, grpc.aio.Channel]]:
    tokens = Tokens()
    server = RpcServer("127.0.0.1:0", verifier=tokens.verifier)
    detect_pb2_grpc.add_DetectServicer_to_server(Detect(), server.grpc)
    address = await server.start()
    token = None if role is None else lambda: tokens.of(role)
    async with connect(address, token=token) as channel:
        yield server, channel
    await server.stop(0)


async def status(channel: grpc.aio.Channel, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


def watch(channel: grpc.aio.Channel, service: str) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return stub.Watch(health_pb2.HealthCheckRequest(service=service))


async def test_not_serving_until_told() -> None:
    async with started() as (server, channel):
        for service in ("", DETECT):
            assert await status(channel, service) == Status.NOT_SERVING
        server.set_serving(True)
        for service in ("", DETECT):
            assert await status(channel, service) == Status.SERVING
        server.set_serving(False)
        for service in ("", DETECT):
            assert await status(channel, service) == Status.NOT_SERVING


async def test_a_service_that_is_not_here() -> None:
    async with started() as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await status(channel, "overt.api.match.v1.Watchlists")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        unknown = watch(channel, "overt.api.match.v1.Watchlists")
        assert (await unknown.read()).status == Status.SERVICE_UNKNOWN
        unknown.cancel()


async def test_many_watch_and_one_leaving_takes_nobody_with_it() -> None:
    async with started() as (server, channel), asyncio.timeout(10):
        watchers = [watch(channel, service) for service in ("", "", DETECT, "")]
        for watcher in watchers:
            assert (await watcher.read()).status == Status.NOT_SERVING
        watchers.pop(0).cancel()
        for serving, expected in ((True, Status.SERVING), (False, Status.NOT_SERVING), (True, Status.SERVING)):
            server.set_serving(serving)
            for watcher in watchers:
                assert (await watcher.read()).status == expected
        for watcher in watchers:
            watcher.cancel()


async def test_watching_does_not_hold_up_a_stop() -> None:
    async with started() as (server, channel), asyncio.timeout(5):
        server.set_serving(True)
        watcher = watch(channel, "")
        assert (await watcher.read()).status == Status.SERVING
        await server.stop(60)
        assert (await watcher.read()).status == Status.NOT_SERVING
        assert await watcher.read() is grpc.aio.EOF
        # For good.
        server.set_serving(True)


async def test_reflection_tells_services_and_their_messages() -> None:
    async with started(Role.SERVICE_GATEWAY) as (_, channel):
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=DETECT),
        ]
        services, files = [reply async for reply in stub.ServerReflectionInfo(iter(requests))]
    assert {service.name for service in services.list_services_response.service} == {
        DETECT,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    file = FileDescriptorProto.FromString(files.file_descriptor_response.file_descriptor_proto[0])
    assert [method.name for method in file.service[0].method] == ["Analyse", "Enrol", "Describe"]


async def test_reflection_asks_for_a_token() -> None:
    async with started() as (_, channel):
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_watchers_without_a_token_are_bounded() -> None:
    async with started() as (_, channel):
        watchers = [watch(channel, "") for _ in range(MOST_WATCHERS)]
        for watcher in watchers:
            await watcher.read()
        one_more = watch(channel, "")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await one_more.read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await status(channel, "") == Status.NOT_SERVING
        watchers[0].cancel()
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await watch(channel, "").read()
                    break
                await asyncio.sleep(0.01)
