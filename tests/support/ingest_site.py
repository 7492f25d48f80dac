"""ingest as a process of its own on a real nats-server, with its peers, faked on the wire, in the test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc.aio
import numpy as np
import simplejpeg
from google.protobuf.timestamp_pb2 import Timestamp
from overt.api.alerts.v1 import alerts_pb2
from overt.api.control.v1 import control_pb2 as control
from overt.api.detect.v1.detect_pb2_grpc import add_DetectServicer_to_server
from overt.api.ingest.v1 import ingest_pb2 as pb
from overt.api.ingest.v1 import ingest_pb2_grpc
from overt.bus import Delivery, NatsBus, connect
from overt.crypto import sealing
from overt.ledger import CameraAccount, Totals, merge
from overt.ledger.wire import from_receipt
from overt.permissions import Role
from overt.rpc import RpcServer
from overt.runtime import retry
from overt.runtime.supervisor import on_a_leash
from overt.subjects import DEPLOYMENTS, EVIDENCE, LEDGER, STATUS, Service
from overt.testing.ingest import FakeDetect, FakeMatch, nobody_matches
from overt.testing.rpc import Tokens
from support.nats import NatsServer
from support.waiting import until

DEPLOYMENT, CAMERA = "dep", "gate"


def jpeg(width: int = 320, height: int = 240, seed: int = 1) -> bytes:
    """Different bytes for every seed; nobody in it."""
    grey = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(grey.repeat(8, 0).repeat(8, 1)), 85, "BGR"))


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


@dataclass
class Site:
    """Made by `site`."""

    directory: Path
    nats: NatsServer
    tokens: Tokens
    detect: FakeDetect
    match: FakeMatch
    private_key: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    environment: dict[str, str] = field(default_factory=dict)
    statuses: list[pb.CameraStatus] = field(default_factory=list)
    evidence: list[alerts_pb2.Evidence] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _detect_server: RpcServer | None = None

    # The process

    @property
    def log(self) -> str:
        path = self.directory / "ingest.log"
        return path.read_text() if path.exists() else ""

    @property
    def address(self) -> str:
        return (self.directory / "address").read_text().strip()

    async def start(self) -> None:
        """Returns when it is ready."""
        self.process = self._launch()
        deadline = time.monotonic() + 30
        while not (self.directory / "address").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"ingest did not start:\n{self.log[-3000:]}")
            await asyncio.sleep(0.02)

    def _launch(self) -> subprocess.Popen[bytes]:
        (self.directory / "address").unlink(missing_ok=True)
        with (self.directory / "ingest.log").open("ab") as log:
            return subprocess.Popen(
                on_a_leash(sys.executable, "-m", "overt_ingest"),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 25)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    # detect

    async def detect_comes(self, *, epoch: str | None = None) -> None:
        """On the same address, as another life of the process if `epoch` is given."""
        if epoch is not None:
            self.detect.epoch = epoch
        server = RpcServer(f"unix:{self.directory / 'detect.sock'}", verifier=self.tokens.verifier)
        add_DetectServicer_to_server(self.detect, server.grpc)
        await server.start()
        self._detect_server = server

    async def detect_goes(self) -> None:
        server, self._detect_server = self._detect_server, None
        if server is not None:
            await server.stop(0)

    # The deployment

    async def put(
        self,
        gateway: NatsBus,
        state: control.Deployment.State,
        *,
        cameras: Sequence[control.Camera] = (),
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
        deployment: str = DEPLOYMENT,
    ) -> None:
        """As the gateway writes it."""
        now = datetime.now(UTC)
        message = control.Deployment(
            deployment_id=deployment,
            state=state,
            starts_at=stamp(starts_at or now - timedelta(hours=1)),
            ends_at=stamp(ends_at or now + timedelta(hours=1)),
            cameras=cameras or [control.Camera(camera_id=CAMERA)],
            sealing_public_key=self.public_key,
            authority="unauthorised: development",
        )
        bucket = gateway.bucket(DEPLOYMENTS)
        found = await bucket.get(deployment)
        if found is None:
            await bucket.create(deployment, message)
        else:
            await bucket.update(deployment, message, found[0])

    async def activate(self, gateway: NatsBus, **how: object) -> None:
        """Active, and its camera takes frames."""
        await self.put(gateway, control.Deployment.STATE_ACTIVE, **how)  # type: ignore[arg-type]  # as `put` takes them
        await self.sight(pb.CameraStatus.SIGHT_WAITING, pb.CameraStatus.SIGHT_SEEING, pb.CameraStatus.SIGHT_BLIND)

    async def sight(self, *sights: pb.CameraStatus.Sight, reason: str | None = None, camera: str = CAMERA) -> None:
        """Waits for the camera to say so, newly."""
        began = len(self.statuses)

        def told() -> bool:
            return any(
                status.camera == camera and status.sight in sights and reason in (None, status.reason)
                for status in self.statuses[began:]
            )

        await until(told, seconds=15)

    # The camera

    def camera_token(self, *, deployment: str = DEPLOYMENT, camera: str = CAMERA, seconds: float = 300) -> str:
        return self.tokens.of(Role.CAMERA, deployment=deployment, camera=camera, lifetime=timedelta(seconds=seconds))

    @asynccontextmanager
    async def stream(
        self,
        *,
        token: str | None = None,
        deployment: str = DEPLOYMENT,
        camera: str = CAMERA,
    ) -> AsyncIterator[grpc.aio.StreamStreamCall]:  # type: ignore[type-arg]  # generic in its types only
        metadata = (
            ("authorization", f"Bearer {token or self.camera_token()}"),
            ("overt-deployment", deployment),
            ("overt-camera", camera),
        )
        async with grpc.aio.insecure_channel(self.address, options=[("grpc.max_send_message_length", -1)]) as channel:
            yield ingest_pb2_grpc.CameraIngestStub(channel).StreamFrames(metadata=metadata)  # type: ignore[misc]

    # What came of it

    async def accounts(self, gateway: NatsBus, deployment: str = DEPLOYMENT) -> list[CameraAccount]:
        """The newest of every epoch of every camera."""
        return [
            from_receipt(pb.LedgerReceipt.FromString(stored.data))
            async for stored in gateway.latest(LEDGER, deployment)
        ]

    async def totals(self, gateway: NatsBus) -> Totals:
        return merge(await self.accounts(gateway))

    async def consume_evidence(self, alerts: NatsBus) -> None:
        """As alerts does; again after its stream was made anew."""
        await alerts.consume(EVIDENCE, DEPLOYMENT, "alerts", self._take_evidence)

    async def _note_status(self, subject: str, status: pb.CameraStatus) -> None:
        self.statuses.append(status)

    async def _take_evidence(self, delivery: Delivery) -> None:
        sealed = alerts_pb2.SealedEvidence.FromString(delivery.data)
        self.evidence.append(alerts_pb2.Evidence.FromString(sealing.unseal(self.private_key, sealed.sealed)))
        self.traces.append(delivery.traceparent)


def frame(sequence: int, data: bytes | None = None, *, late: float = 0.01, traceparent: str = "") -> pb.Frame:
    """Captured `late` seconds ago."""
    captured_at = stamp(datetime.now(UTC) - timedelta(seconds=late))
    return pb.Frame(
        sequence=sequence,
        captured_at=captured_at,
        jpeg=jpeg(seed=sequence) if data is None else data,
        traceparent=traceparent,
    )


@dataclass
class Buses:
    """Everybody's connection, with their own permissions."""

    alerts: NatsBus
    gateway: NatsBus
    match: NatsBus


@asynccontextmanager
async def site(
    directory: Path, *, environment: Mapping[str, str] | None = None, match: bool = True
) -> AsyncIterator[tuple[Site, Buses]]:
    """A running ingest, its peers and one prepared deployment, which is not active yet."""
    nats = NatsServer(directory / "nats")
    tokens = Tokens()
    private, public = sealing.generate_key_pair()
    made = Site(directory, nats, tokens, FakeDetect(), FakeMatch(nobody_matches), private, public)
    files = {
        "issuer.pub": tokens.public_pem.decode(),
        "password": nats.password(Service.INGEST),
        "token": tokens.of(Role.SERVICE_INGEST, lifetime=timedelta(hours=1)),
    }
    for name, content in files.items():
        (directory / name).write_text(content)
    opened: list[NatsBus] = []
    try:
        nats.start()
        made.environment = {
            "PATH": os.environ.get("PATH", ""),
            "OVERT_STRICT_TELEMETRY": "1",
            "OVERT_LISTEN": "127.0.0.1:0",
            "OVERT_ADDRESS_FILE": str(directory / "address"),
            "OVERT_NATS_URL": nats.url,
            "OVERT_NATS_USER": "ingest",
            "OVERT_NATS_PASSWORD_FILE": str(directory / "password"),
            "OVERT_ISSUER_PUBLIC_KEY_FILE": str(directory / "issuer.pub"),
            "OVERT_SERVICE_TOKEN_FILE": str(directory / "token"),
            "OVERT_DETECT_ADDRESS": f"unix:{directory / 'detect.sock'}",
            **(environment or {}),
        }
        for service in (Service.ALERTS, Service.GATEWAY, Service.MATCH):
            opened.append(await connect(nats.address(service), name=f"test-{service}"))
        buses = Buses(*opened)
        await retry("buckets", buses.alerts.steward.ensure_operation)
        await buses.alerts.steward.ensure(DEPLOYMENT)
        await buses.gateway.subscribe(STATUS.every, pb.CameraStatus, made._note_status)
        await made.consume_evidence(buses.alerts)
        if match:
            await made.match.serve(buses.match)
        await made.detect_comes()
        await made.start()
        yield made, buses
    finally:
        made.kill()
        await made.detect_goes()
        for bus in opened:
            await bus.close()
        nats.stop()
