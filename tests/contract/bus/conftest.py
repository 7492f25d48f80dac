"""One bus system per test, in memory and on a real nats-server: the suite of this directory runs on both."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from overt.bus import Bus, connect
from overt.bus.consumer import Redelivery
from overt.subjects import Service
from overt.testing.bus import MemoryBroker, MemoryBus
from support.nats import NatsServer

QUICKLY = {
    "redelivery": Redelivery(
        ack_wait=timedelta(seconds=1.2), first=timedelta(milliseconds=60), longest=timedelta(milliseconds=200), most=3
    ),
    "drain_time": timedelta(seconds=0.5),
}
DEPLOYMENT = "dep-1"


class System(Protocol):
    """A server and the connections of services to it."""

    async def connect(self, service: Service, **options: Any) -> Bus: ...

    async def lose(self) -> None:
        """The server is killed."""

    async def bring_back(self) -> None: ...

    async def wipe(self) -> None:
        """While it is lost: its disk is replaced by an empty one."""

    async def end(self) -> None: ...


class MemorySystem:
    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._buses: list[MemoryBus] = []

    async def connect(self, service: Service, **options: Any) -> Bus:
        bus = MemoryBus(service, broker=self._broker, **{**QUICKLY, **options})
        self._buses.append(bus)
        return bus

    async def lose(self) -> None:
        self._broker.down()

    async def bring_back(self) -> None:
        self._broker.up()

    async def wipe(self) -> None:
        self._broker.streams.clear()
        self._broker.objects.clear()

    async def end(self) -> None:
        self._broker.up()
        for bus in self._buses:
            await bus.drain()
            await bus.close()


class NatsSystem:
    def __init__(self, directory: Path) -> None:
        self._server = NatsServer(directory)
        self._server.start()
        self._buses: list[Bus] = []

    async def connect(self, service: Service, **options: Any) -> Bus:
        bus = await connect(self._server.address(service), name=f"test {service}", **{**QUICKLY, **options})
        self._buses.append(bus)
        return bus

    async def lose(self) -> None:
        await asyncio.to_thread(self._server.kill)

    async def bring_back(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def wipe(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._server.store_dir)

    async def end(self) -> None:
        try:
            for bus in self._buses:
                await bus.drain()
                await bus.close()
        finally:
            await asyncio.to_thread(self._server.stop)


@pytest.fixture(params=["memory", "nats"])
async def system(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[System]:
    made: System = MemorySystem() if request.param == "memory" else NatsSystem(tmp_path / "nats")
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture
async def alerts(system: System) -> Bus:
    return await system.connect(Service.ALERTS)


@pytest.fixture
async def ingest(system: System) -> Bus:
    return await system.connect(Service.INGEST)


@pytest.fixture
async def match(system: System) -> Bus:
    return await system.connect(Service.MATCH)


@pytest.fixture
async def gateway(system: System) -> Bus:
    return await system.connect(Service.GATEWAY)


@pytest.fixture
async def ready(alerts: Bus) -> str:
    """Buckets and one deployment's streams exist."""
    await alerts.steward.ensure_operation()
    await alerts.steward.ensure(DEPLOYMENT)
    return DEPLOYMENT


Until = Callable[..., Awaitable[None]]


@pytest.fixture
def until() -> Until:
    """Waits for a condition, checked often, with a deadline."""

    async def wait(condition: Callable[[], Any], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while True:
            outcome = condition()
            if asyncio.iscoroutine(outcome):
                outcome = await outcome
            if outcome:
                return
            assert time.monotonic() < end, "it did not come true"
            await asyncio.sleep(0.01)

    return wait
