"""Match on a real nats-server and the real engine, with a fake of alerts' keys behind real gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from overt.api.alerts.v1 import alerts_pb2 as alerts
from overt.api.alerts.v1.alerts_pb2_grpc import KeysServicer, add_KeysServicer_to_server
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.api.match.v1.match_pb2_grpc import WatchlistsStub
from overt.auth import TokenIssuer, TokenVerifier, generate_issuer_key
from overt.bus import NatsBus
from overt.bus import connect as connect_bus
from overt.crypto import sealing
from overt.permissions import Role
from overt.rpc import MAX_WATCHLISTS_MESSAGE_BYTES, RpcServer, connect
from overt.runtime import retry
from overt.subjects import DEPLOYMENTS, SEARCH, Service
from overt_match.app import MatchApp
from overt_match.app import build as build_match
from overt_match.settings import Settings
from support.nats import NatsServer
from support.watchlists import DEPLOYMENT, MODEL, MemoryListKeys, deployment, people, search


class FakeKeys(KeysServicer):
    """Of alerts' service `Keys`, what match calls. The rules are MemoryListKeys'."""

    def __init__(self) -> None:
        self.keys = MemoryListKeys()

    async def GetListSecret(self, request: Any, context: Any) -> alerts.GetListSecretReply:  # noqa: N802
        found = await self.keys.secret(request.deployment, request.generation)
        return alerts.GetListSecretReply(secret=found.secret, generation=found.generation)

    async def RotateListSecret(self, request: Any, context: Any) -> alerts.GetListSecretReply:  # noqa: N802
        found = await self.keys.rotate(request.deployment)
        return alerts.GetListSecretReply(secret=found.secret, generation=found.generation)

    async def ConfirmListSecret(self, request: Any, context: Any) -> alerts.ConfirmListSecretReply:  # noqa: N802
        await self.keys.confirm(request.deployment, request.generation)
        return alerts.ConfirmListSecretReply()


@dataclass
class Running:
    """A replica in this process, and a gateway's way to it."""

    app: MatchApp
    tasks: list[asyncio.Task[None]]
    rpc: WatchlistsStub
    channel: Any

    async def stop(self) -> None:
        await self.app.refuse_new()
        await self.app.finish()
        await self.end()

    async def end(self) -> None:
        """As a kill would: nothing is finished."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.channel.close()
        await self.app.close()


@dataclass
class Site:
    """One operation: the bus, alerts' keys, a deployment."""

    directory: Path
    nats: NatsServer
    alerts: NatsBus
    gateway: NatsBus
    ingest: NatsBus
    issuer: TokenIssuer
    keys: FakeKeys
    keys_address: str
    environment: dict[str, str]
    private_key: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    running: list[Running] = field(default_factory=list)

    def settings(self) -> Settings:
        values = {k.removeprefix("OVERT_").lower(): v for k, v in self.environment.items()}
        return Settings(**values)  # type: ignore[arg-type]

    async def start(self) -> Running:
        app = build_match(self.settings())
        assert isinstance(app, MatchApp)
        await app.start()
        tasks = [asyncio.create_task(root(), name=name) for name, root in app.tasks().items()]  # type: ignore[arg-type]
        address = await app.open()
        rpc, channel = self.client(address)
        new = Running(app, tasks, rpc, channel)
        self.running.append(new)
        return new

    def client(
        self, address: str, role: Role = Role.SERVICE_GATEWAY, *, max_message_bytes: int = MAX_WATCHLISTS_MESSAGE_BYTES
    ) -> tuple[WatchlistsStub, Any]:
        token = self.issuer.issue(role, subject="test", lifetime=timedelta(hours=1))
        channel = connect(address, token=lambda: token, max_message_bytes=max_message_bytes)
        return WatchlistsStub(channel), channel

    async def set(self, state: control.Deployment.State, **fields: Any) -> None:
        bucket = self.gateway.bucket(DEPLOYMENTS)
        message = deployment(state, public_key=self.public_key, **fields)
        found = await bucket.get(DEPLOYMENT)
        if found is None:
            await bucket.create(DEPLOYMENT, message)
        else:
            await bucket.update(DEPLOYMENT, message, found[0])

    async def imported(self, replica: Running, templates: NDArray[np.float32], **fields: Any) -> list[str]:
        ids: list[str] = []
        for start in range(0, len(templates), 1000):
            reply = await replica.rpc.Import(
                pb.ImportRequest(
                    deployment=DEPLOYMENT,
                    model_digest=MODEL,
                    entries=people(templates[start : start + 1000], first=start, **fields),
                )
            )
            ids += reply.entry_ids
        return ids

    async def active(self, replica: Running, templates: NDArray[np.float32], **fields: Any) -> list[str]:
        """Imported, sealed and started; the replica answers."""
        ids = await self.imported(replica, templates, **fields)
        await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT))
        await self.set(control.Deployment.STATE_ACTIVE)
        await self.answers(templates[0], when=lambda r: not r.refused)
        return ids

    async def search(self, *probes: NDArray[np.float32]) -> pb.SearchReply:
        return await self.ingest.request(
            SEARCH.of(DEPLOYMENT), search(*probes), pb.SearchReply, timeout=timedelta(seconds=2)
        )

    async def answers(
        self, *probes: NDArray[np.float32], when: Callable[[pb.SearchReply], bool], within: float = 10
    ) -> pb.SearchReply:
        deadline = time.monotonic() + within
        while not when(reply := await self.search(*probes)):
            assert time.monotonic() < deadline, f"still {reply.refused or reply.decision}"
            await asyncio.sleep(0.01)
        return reply


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def site(tmp_path: Path, nats: NatsServer) -> AsyncIterator[Site]:
    private_pem, public_pem = generate_issuer_key()
    issuer = TokenIssuer(private_pem)
    (tmp_path / "issuer.pem").write_bytes(public_pem)
    (tmp_path / "password").write_text(nats.password(Service.MATCH))
    (tmp_path / "token").write_text(issuer.issue(Role.SERVICE_MATCH, subject="match", lifetime=timedelta(hours=1)))
    server = RpcServer("127.0.0.1:0", verifier=TokenVerifier(public_pem))
    keys = FakeKeys()
    add_KeysServicer_to_server(keys, server.grpc)
    address = await server.start()
    buses = [
        await connect_bus(nats.address(service), name=service.value)
        for service in (Service.ALERTS, Service.GATEWAY, Service.INGEST)
    ]
    await retry("buckets", buses[0].steward.ensure_operation)
    await buses[0].steward.ensure(DEPLOYMENT)
    sealing_keys = sealing.generate_key_pair()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as index_dir:
        made = Site(
            tmp_path,
            nats,
            *buses,
            issuer,
            keys,
            address,
            {
                "OVERT_LISTEN": "127.0.0.1:0",
                "OVERT_NATS_URL": nats.url,
                "OVERT_NATS_USER": "match",
                "OVERT_NATS_PASSWORD_FILE": str(tmp_path / "password"),
                "OVERT_ISSUER_PUBLIC_KEY_FILE": str(tmp_path / "issuer.pem"),
                "OVERT_SERVICE_TOKEN_FILE": str(tmp_path / "token"),
                "OVERT_ALERTS_ADDRESS": address,
                "OVERT_INDEX_DIR": index_dir,
            },
            *sealing_keys,
        )
        await made.set(control.Deployment.STATE_DRAFT)
        yield made
        for replica in made.running:
            with contextlib.suppress(Exception):
                await replica.end()
        for bus in buses:
            await bus.close()
        await server.stop(0)
        assert list(Path(index_dir).glob("*/*")) == []
