"""The whole machine for a measurement: its services tell their metrics, and nothing of it is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from overt.errors import Fatal, Retryable
from overt.permissions import Role
from overt.runtime import retry
from overt.subjects import Service

from overt_lab.archive import ListImage, pack
from overt_lab.bench.listing import peers_of, random_list
from overt_lab.bench.metering import free_port
from overt_lab.bench.witness import Witness
from overt_lab.machine import Machine, Options
from overt_lab.rest import Gateway, when

THRESHOLD = 0.40
"""Raw cosine, as in the demo."""
_OPEN_S = 20.0
_LEDGER_S = 30.0
_AGAIN_S = 0.3


@dataclass(slots=True)
class Site:
    """A machine that is up. `metrics`: addresses by service."""

    machine: Machine
    metrics: dict[str, str]
    witness: Witness | None = None

    def role(self, role: Role) -> Gateway:
        return Gateway(self.machine.gateway_url, lambda: self.machine.token(role, lifetime=timedelta(hours=12)))

    @property
    def pids(self) -> dict[str, int]:
        """Of nats-server and every service."""
        return {name: child.pid for name, child in self.machine.supervisor.children.items() if child.pid}

    def check_alive(self) -> None:
        """Fatal if a service has died: whatever was measured is then of no use."""
        if self.machine.deaths:
            name, code = self.machine.deaths[0]
            raise Fatal(f"{name} ended while it was measured (exit code {code}): this is a defect, please report it")


@asynccontextmanager
async def site(*, witnessed: bool = False, say: Callable[[str], None] = lambda line: None) -> AsyncIterator[Site]:
    """Up while the body runs. Every sighting is an alert of its own there."""
    folder = Path(tempfile.mkdtemp(prefix="overt-bench-"))
    metrics = {service: f"127.0.0.1:{free_port()}" for service in (Service.INGEST, Service.DETECT)}
    extra: dict[str, dict[str, str]] = {s: {"OVERT_METRICS_LISTEN": address} for s, address in metrics.items()}
    # It counts from the last sighting, on any camera: with anything more, somebody whose track broke late in a pass, or
    # who walks by another camera, would swallow the alert of the next pass.
    extra[Service.ALERTS] = {"OVERT_COOLDOWN_SECONDS": "0"}
    async with contextlib.AsyncExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        witness = None
        if witnessed:
            witness = Witness(folder / "witness.sock", lambda: machine.layout.socket(Service.DETECT))
            extra[Service.INGEST]["OVERT_DETECT_ADDRESS"] = witness.address
            await witness.start()
            closing.push_async_callback(witness.close)
        machine = Machine(Options(data=folder / "data", extra=extra), say=say)
        closing.push_async_callback(machine.down)
        await machine.up()
        yield Site(machine, {str(name): address for name, address in metrics.items()}, witness)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An alert that reached the control room's stream: when (monotonic), and how long after the capture of the first
    agreeing shot."""

    at: float
    latency_ms: float


@dataclass(slots=True)
class Deployment:
    """One deployment on a site, driven through REST as a control room would."""

    site: Site
    name: str
    alerts: list[Arrival] = field(default_factory=list)
    list_size: int = 0

    async def open(self, cameras: Sequence[dict[str, Any]], images: Sequence[ListImage], *, fill_to: int) -> None:
        """Creates it, imports the pictures, fills the list up with nobody, starts, and waits for its cameras."""
        now = datetime.now(UTC)
        async with self.site.role(Role.APPLICANT) as applicant, peers_of(self.site.machine) as peers:
            await applicant.create_deployment(
                id=self.name,
                name="Measurement",
                starts_at=(now - timedelta(minutes=1)).isoformat(),
                ends_at=(now + timedelta(hours=12)).isoformat(),
                threshold=THRESHOLD,
                cameras=list(cameras),
            )
            if images:
                answer = await applicant.import_list(self.name, pack(images))
                if answer["refused"]:
                    raise Fatal(f"the import refused {answer['refused'][0]['message']}")
            described = await peers.describe()
            nobody = random_list(described.template_length, fill_to - len(images))
            self.list_size = await peers.fill(self.name, described.model_digest, nobody)
        async with self.site.role(Role.OPERATOR) as operator:
            await operator.start(self.name)
            await self._until_open(operator)

    async def _until_open(self, operator: Gateway) -> None:
        deadline = time.monotonic() + _OPEN_S
        while True:
            cameras = await retry("read the cameras", lambda: operator.cameras(self.name))
            # Told by ingest, whatever it told.
            if all(camera["at"] is not None for camera in cameras):
                return
            if time.monotonic() > deadline:
                raise Fatal("the cameras were not opened: see the log of ingest")
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Notes every alert that is raised while the body runs."""
        listening = asyncio.Event()
        task = asyncio.create_task(self._watch(listening), name=f"{self.name} alerts")
        try:
            try:
                await asyncio.wait_for(listening.wait(), _OPEN_S)
            except TimeoutError:
                raise Fatal("the stream of alerts was not opened: see the log of the gateway") from None
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _watch(self, listening: asyncio.Event) -> None:
        async with self.site.role(Role.OPERATOR) as operator:
            while True:
                with contextlib.suppress(Retryable):
                    async for event, data in operator.follow_alerts(self.name):
                        listening.set()
                        if event == "alert" and data["kind"] == "raised":
                            late = datetime.now(UTC) - when(data["alert"]["first_captured_at"])
                            self.alerts.append(Arrival(time.monotonic(), late / timedelta(milliseconds=1)))
                await asyncio.sleep(_AGAIN_S)

    async def end(self) -> dict[str, Any]:
        """Ends it; its ledger, when the last receipt of every camera is in. Fatal if the books do not balance."""
        async with self.site.role(Role.OPERATOR) as operator:
            await operator.end(self.name)
            deadline = time.monotonic() + _LEDGER_S
            while not (ledger := await retry("read the ledger", lambda: operator.ledger(self.name))).get("final"):
                if time.monotonic() > deadline:
                    raise Fatal("the cameras' last ledger receipts did not arrive: see the log of ingest")
                await asyncio.sleep(0.1)
        if not (ledger["conserved"] and ledger["tracks"]["conserved"]):
            raise Fatal("the books do not balance: this is a defect, please report it")
        return ledger
