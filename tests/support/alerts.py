"""The parts of the alerts service on a bus and keyring in memory, for tests of its use cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration
from overt.api.control.v1 import control_pb2
from overt.bus import Bus, Delivery
from overt.crypto import Keyring
from overt.errors import Rejected
from overt.subjects import ALERT, DEPLOYMENTS, EVIDENCE
from overt.testing import FakeClock
from overt.testing.bus import MemoryBus
from overt.testing.keyring import MemoryKeyring
from overt_alerts.adapters.vault import Vault
from overt_alerts.custody import Custody
from overt_alerts.deployments import Deployments
from overt_alerts.expiry import Expiry
from overt_alerts.intake import Intake
from overt_alerts.keys import Keys
from overt_alerts.reading import Reading
from overt_alerts.reconcile import Reconciler
from overt_alerts.recovery import Recovery
from overt_alerts.shelf import Board, Shelf
from support.evidence import AT, Sighted

State = control_pb2.Deployment
DEPLOYMENT = "market"
RETENTION = timedelta(hours=2)
LINGER = timedelta(minutes=10)


@dataclass
class World:
    """What outlives the service's process: the broker, the keyring's medium, the time."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    keyring: MemoryKeyring = field(default_factory=MemoryKeyring)
    clock: FakeClock = field(default_factory=lambda: FakeClock(AT + timedelta(milliseconds=400)))
    public_key: bytes = b""
    waiting: list[Delivery] = field(default_factory=list)
    """Evidence that was sent and not acknowledged. JetStream does not bring back what is erased; here it does."""

    async def prepare(self, deployment: str = DEPLOYMENT) -> None:
        await self.bus.steward.ensure_operation()
        self.public_key = await Life(self).keys.prepare(deployment)

    async def put(
        self,
        state: control_pb2.Deployment.State.ValueType,
        deployment: str = DEPLOYMENT,
        *,
        retention: timedelta = RETENTION,
    ) -> None:
        """As the gateway does."""
        bucket = self.bus.bucket(DEPLOYMENTS)
        keep = Duration()
        keep.FromTimedelta(retention)
        value = control_pb2.Deployment(deployment_id=deployment, state=state, alert_retention=keep)
        if (there := await bucket.get(deployment)) is None:
            await bucket.create(deployment, value)
        else:
            await bucket.update(deployment, value, there[0])

    async def send(self, sighted: Sighted) -> int:
        """As ingest does."""
        return await self.send_bytes(sighted.subject, sighted.message().SerializeToString())

    async def send_bytes(self, subject: str, data: bytes) -> int:
        sequence = await self.bus.append(subject, data)
        self.waiting.append(Delivery(subject, data, sequence, 0, ""))
        return sequence

    async def stored(self, deployment: str = DEPLOYMENT) -> list[str]:
        """What lies in ALERTS_<deployment>, without the common beginning of the subjects."""
        prefix = f"overt.alert.{deployment}."
        return sorted([kept.subject.removeprefix(prefix) async for kept in self.bus.latest(ALERT, deployment)])

    async def evidence_left(self, deployment: str = DEPLOYMENT) -> list[str]:
        return [kept.subject async for kept in self.bus.latest(EVIDENCE, deployment)]

    def alert_keys(self, deployment: str = DEPLOYMENT) -> list[str]:
        return [k.removeprefix(f"alert/{deployment}/") for k in self.keyring.ids(f"alert/{deployment}/")]


class Life:
    """One life of the service's process, without its gRPC door. `bus` and `keyring` may be faulty ones."""

    def __init__(self, world: World, *, bus: Any = None, keyring: Keyring | None = None) -> None:
        self.world = world
        self.bus = cast("Bus", bus or world.bus)
        self.board = Board()
        self.custody = Custody(keyring or world.keyring)
        self.vault = Vault(bus=self.bus, custody=self.custody)
        self.deployments = Deployments(self.bus)
        self.recovery = Recovery(custody=self.custody, vault=self.vault)
        self.intake = Intake(custody=self.custody, vault=self.vault, clock=world.clock)
        self.expiry = Expiry(board=self.board, custody=self.custody, vault=self.vault, clock=world.clock)
        self.keys = Keys(custody=self.custody, deployments=self.deployments, steward=self.bus.steward)
        self.reconciler = Reconciler(
            bus=self.bus,
            board=self.board,
            custody=self.custody,
            deployments=self.deployments,
            intake=self.intake,
            recovery=self.recovery,
            clock=world.clock,
            linger=LINGER,
        )
        self.reading = Reading(board=self.board, reconciler=self.reconciler, vault=self.vault, clock=world.clock)

    async def shelf(self, deployment: str = DEPLOYMENT) -> Shelf:
        """Filled as at a start, without a consumer: the test hands it its evidence."""
        if (there := self.board.get(deployment)) is not None:
            return there
        shelf = self.board.make(deployment, keep_for=RETENTION)
        await self.recovery.fill(shelf)
        self.board.add(shelf)
        return shelf

    async def take_all(self, deployment: str = DEPLOYMENT) -> None:
        """Everything that waits, one after the other, acknowledged or buried as the consumer would."""
        shelf = await self.shelf(deployment)
        while self.world.waiting:
            try:
                await self.intake.take(shelf, self.world.waiting[0])
            except Rejected:
                await self.intake.buried(shelf, self.world.waiting[0])
                raise
            del self.world.waiting[0]
