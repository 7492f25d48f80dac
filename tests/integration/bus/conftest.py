"""A real nats-server for a module, with one deployment's streams, and plain clients to be naughty with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from nats.aio.client import Client
from overt.bus import NatsBus, connect
from overt.bus.connection import inbox_of
from overt.subjects import Service
from support.nats import NatsServer


class Plain:
    """A client that asks the server without Overt's own checks in between."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.client = Client()
        self.errors: list[str] = []

    async def connect(self, server: NatsServer) -> None:
        address = server.address(self.service)
        await self.client.connect(
            address.url,
            user=address.user,
            password=address.password,
            inbox_prefix=inbox_of(address.user),
            error_cb=self._failed,
        )

    async def _failed(self, error: Exception) -> None:
        self.errors.append(str(error))

    async def _settled(self) -> None:
        """The server has said what it has to say. Twice: nats-py's first PING may overtake what it follows."""
        await self.client.flush()
        await self.client.flush()

    async def may_publish(self, subject: str, data: bytes = b"", reply: str = "") -> bool:
        self.errors.clear()
        await self.client.publish(subject, data, reply=reply)
        await self._settled()
        return not any("permissions violation for publish" in e for e in self.errors)

    async def may_subscribe(self, subject: str) -> bool:
        self.errors.clear()
        subscription = await self.client.subscribe(subject)
        await self._settled()
        allowed = not any("permissions violation for subscription" in e for e in self.errors)
        await subscription.unsubscribe()
        return allowed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    running = NatsServer(tmp_path_factory.mktemp("nats"))
    running.start()

    async def prepare() -> None:
        alerts = await connect(running.address(Service.ALERTS), name="test")
        await alerts.steward.ensure_operation()
        await alerts.steward.ensure("dep-1")
        await alerts.close()

    try:
        asyncio.run(prepare())
        yield running
    finally:
        running.stop()


@pytest.fixture
async def plain(server: NatsServer) -> AsyncIterator[dict[Service, Plain]]:
    """A plain client of every service."""
    clients = {service: Plain(service) for service in Service}
    for client in clients.values():
        await client.connect(server)
    yield clients
    for client in clients.values():
        await client.client.close()


@pytest.fixture
async def buses(server: NatsServer) -> AsyncIterator[dict[Service, NatsBus]]:
    """Of every service that has anything to do on the bus."""
    made = {s: await connect(server.address(s), name="test") for s in Service if s is not Service.DETECT}
    yield made
    for bus in made.values():
        await bus.drain()
        await bus.close()
