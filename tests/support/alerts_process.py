"""The alerts service as a process of its own on a real nats-server, and everybody it deals with."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.alerts.v1 import alerts_pb2_grpc
from overt.api.control.v1 import control_pb2
from overt.bus import NatsBus, connect
from overt.permissions import Role
from overt.rpc import connect as dial
from overt.runtime.supervisor import on_a_leash
from overt.subjects import DEPLOYMENTS, EVIDENCE, Service
from overt.testing.rpc import Tokens
from support.evidence import Sighted
from support.nats import NatsServer

_HERE = Path(__file__).resolve().parent
_READY_SECONDS = 30


@dataclass
class AlertsProcess:
    """Files below `directory`; a Unix socket in a short one, for its path may have 107 bytes."""

    nats: NatsServer
    directory: Path
    tokens: Tokens = field(default_factory=Tokens)
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _short: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ov")))

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "issuer.pub").write_bytes(self.tokens.public_pem)
        (self.directory / "password").write_text(self.nats.password(Service.ALERTS))

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> str:
        path = self.directory / "alerts.log"
        return path.read_text() if path.exists() else ""

    def launch(self, *, kill_at: int | None = None) -> None:
        """Does not wait. `kill_at`: see alerts_main; None: the service as it is shipped."""
        command = ["-m", "overt_alerts"] if kill_at is None else ["-m", "support.alerts_main", str(kill_at)]
        (self.directory / "address").unlink(missing_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(_HERE.parent),
            "OVERT_STRICT_TELEMETRY": "1",
            "OVERT_LISTEN": f"unix:{self._short / 'alerts.sock'}",
            "OVERT_ADDRESS_FILE": str(self.directory / "address"),
            "OVERT_NATS_URL": self.nats.url,
            "OVERT_NATS_USER": "alerts",
            "OVERT_NATS_PASSWORD_FILE": str(self.directory / "password"),
            "OVERT_ISSUER_PUBLIC_KEY_FILE": str(self.directory / "issuer.pub"),
            "OVERT_DATA_DIR": str(self.data_dir),
            **self.environment,
        }
        with (self.directory / "alerts.log").open("ab") as log:
            self.process = subprocess.Popen(
                on_a_leash(sys.executable, *command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_ready(self) -> bool:
        return (self.directory / "address").exists()

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def was_killed(self) -> bool:
        return self.process is not None and self.process.poll() == -signal.SIGKILL

    async def start(self, *, kill_at: int | None = None) -> None:
        """Returns when it is ready, or, with `kill_at`, when it has ended."""
        self.launch(kill_at=kill_at)
        until = time.monotonic() + _READY_SECONDS
        while not self.is_ready():
            if kill_at and self.was_killed:
                return
            if not self.is_alive or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"alerts did not start:\n{self.log[-3000:]}")
            await asyncio.sleep(0.02)

    async def end(self, *, seconds: float = 20) -> int:
        """Waits for its end; the exit code, negative for a signal."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, seconds)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return await self.end()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._short, ignore_errors=True)

    @asynccontextmanager
    async def channel(self, role: Role = Role.SERVICE_GATEWAY) -> AsyncIterator[grpc.aio.Channel]:
        token = self.tokens.of(role)
        channel = dial(f"unix:{self._short / 'alerts.sock'}", token=lambda: token)
        try:
            yield channel
        finally:
            await channel.close()

    @asynccontextmanager
    async def alerts(self, role: Role = Role.SERVICE_GATEWAY) -> AsyncIterator[alerts_pb2_grpc.AlertsAsyncStub]:
        async with self.channel(role) as channel:
            yield alerts_pb2_grpc.AlertsStub(channel)  # type: ignore[misc]  # the stub of an aio channel

    @asynccontextmanager
    async def keys(self, role: Role = Role.SERVICE_GATEWAY) -> AsyncIterator[alerts_pb2_grpc.KeysAsyncStub]:
        async with self.channel(role) as channel:
            yield alerts_pb2_grpc.KeysStub(channel)  # type: ignore[misc]  # the stub of an aio channel

    @asynccontextmanager
    async def bus(self, service: Service) -> AsyncIterator[NatsBus]:
        """As that service, with its permissions."""
        bus = await connect(self.nats.address(service), name=f"test-{service}")
        try:
            yield bus
        finally:
            await bus.close()

    async def prepare(self, deployment: str) -> bytes:
        """As the gateway does; the public key."""
        async with self.keys() as keys:
            return (await keys.Prepare(pb.PrepareRequest(deployment=deployment))).sealing_public_key

    async def put(
        self,
        deployment: str,
        state: control_pb2.Deployment.State.ValueType = control_pb2.Deployment.STATE_ACTIVE,
        *,
        retention: timedelta = timedelta(hours=1),
    ) -> None:
        """As the gateway does."""
        keep = Duration()
        keep.FromTimedelta(retention)
        value = control_pb2.Deployment(deployment_id=deployment, state=state, alert_retention=keep)
        async with self.bus(Service.GATEWAY) as gateway:
            bucket = gateway.bucket(DEPLOYMENTS)
            if (there := await bucket.get(deployment)) is None:
                await bucket.create(deployment, value)
            else:
                await bucket.update(deployment, value, there[0])

    async def send(self, *sighted: Sighted, deduplicated: bool = False) -> None:
        """As ingest does."""
        async with self.bus(Service.INGEST) as ingest:
            for one in sighted:
                message_id = one.message_id if deduplicated else None
                await ingest.append(one.subject, one.message(), message_id=message_id)

    async def is_taken_in(self, *sighted: Sighted) -> bool:
        """Whether none of this evidence is left in the stream."""
        async with self.bus(Service.ALERTS) as bus:
            there = [await bus.last(EVIDENCE, one.deployment, one.subject) for one in sighted]
        return there == [None] * len(there)

    async def listed(self, deployment: str) -> list[pb.Alert]:
        async with self.alerts() as alerts:
            return list((await alerts.List(pb.ListRequest(deployment=deployment))).alerts)
