"""The store is put back from an older copy while the services live."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from overt.bus import NatsBus, connect
from overt.subjects import DEPLOYMENTS, Service
from support.nats import NatsServer
from support.waiting import until

pytestmark = pytest.mark.integration


async def test_a_watch_follows_a_store_that_was_restored_from_an_older_copy(tmp_path: Path) -> None:
    """Its newest revision is below what the watch has heard of, and the next one has a number that was used before."""
    server = NatsServer(tmp_path / "nats")
    copy, buses, seen = tmp_path / "copy", list[NatsBus](), list[tuple[str, bytes | None, int]]()

    async def start() -> None:
        await asyncio.to_thread(server.start)
        await until(lambda: all(bus.connected for bus in buses), seconds=15)

    async def kill() -> None:
        await asyncio.to_thread(server.kill)
        await until(lambda: not any(bus.connected for bus in buses))

    async def follow() -> None:
        async for change in ingest.bucket(DEPLOYMENTS).watch():
            seen.append((change.key, change.value, change.revision))

    following: asyncio.Task[None] | None = None
    try:
        await start()
        for service in (Service.ALERTS, Service.GATEWAY, Service.INGEST):
            buses.append(await connect(server.address(service), name="test"))
        alerts, gateway, ingest = buses
        await alerts.steward.ensure_operation()
        bucket = gateway.bucket(DEPLOYMENTS)
        first = await bucket.create("dep-1", b"draft")
        await kill()
        shutil.copytree(server.store_dir, copy)
        await start()

        following = asyncio.create_task(follow())
        second = await bucket.update("dep-1", b"active", first)
        third = await bucket.create("dep-2", b"draft")
        await until(lambda: ("dep-2", b"draft", third) in seen)
        await kill()
        shutil.rmtree(server.store_dir)
        shutil.copytree(copy, server.store_dir)
        seen.clear()
        await start()
        await until(lambda: ("dep-2", None, 0) in seen)
        assert seen == [("dep-1", b"draft", first), ("dep-2", None, 0)]
        assert await bucket.update("dep-1", b"ended", first) == second
        await until(lambda: ("dep-1", b"ended", second) in seen)
    finally:
        if following is not None:
            following.cancel()
        for bus in buses:
            await bus.close()
        server.stop()
