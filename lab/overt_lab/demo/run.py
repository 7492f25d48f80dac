"""Runs one deployment from import to destruction and returns what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from overt.errors import Fatal, OvertError
from overt.permissions import Role
from overt.runtime import retry

from overt_lab.archive import ListImage, pack
from overt_lab.camera import Clip, PushCamera, PushResult
from overt_lab.machine import Machine
from overt_lab.rest import Gateway, when

DEPLOYMENT = "demo"
CAMERA = "square"
_LATE_ALERT_S = 5.0  # how long an expected alert may take after the last frame
_FINAL_LEDGER_S = 20.0
_CAMERA_OPEN_S = 20.0
_STREAM_OPEN_S = 20.0
_OPEN = ("waiting", "seeing")


@dataclass(slots=True)
class SeenAlert:
    """An alert as it reached the control room's stream."""

    subject: str
    camera: str
    score: float
    latency_ms: float
    alert_id: str


@dataclass(slots=True)
class Outcome:
    """Everything the demo reports. `ledger` is the gateway's ledger of the ended deployment."""

    alerts: list[SeenAlert] = field(default_factory=list)
    expected: list[str] | None = None
    refused: list[dict[str, Any]] = field(default_factory=list)
    list_size: int = 0
    push: PushResult = field(default_factory=PushResult)
    ledger: dict[str, Any] = field(default_factory=dict)
    played_seconds: float = 0.0
    deaths: list[tuple[str, int]] = field(default_factory=list)

    @property
    def alerted(self) -> set[str]:
        return {alert.subject for alert in self.alerts}

    @property
    def missed(self) -> list[str] | None:
        return None if self.expected is None else sorted(set(self.expected) - self.alerted)

    @property
    def false_alerts(self) -> list[str] | None:
        return None if self.expected is None else sorted(self.alerted - set(self.expected))

    @property
    def conserved(self) -> bool:
        return bool(self.ledger.get("conserved")) and bool(self.ledger.get("tracks", {}).get("conserved"))

    @property
    def good(self) -> bool:
        """Both laws hold, and everyone expected, and nobody else, alerted."""
        return self.conserved and not self.missed and not self.false_alerts


class Stage:
    """A deployment with one camera on a running machine, driven through REST as a control room would."""

    def __init__(self, machine: Machine, *, threshold: float, outcome: Outcome) -> None:
        self._machine = machine
        self._threshold = threshold
        self.outcome = outcome
        self._arrived = asyncio.Event()
        self._connected = asyncio.Event()

    def _as(self, role: Role) -> Gateway:
        return Gateway(self._machine.gateway_url, lambda: self._machine.token(role))

    async def open(self, images: Sequence[ListImage]) -> None:
        """Creates the deployment, imports the list and starts."""
        now = datetime.now(UTC)
        async with self._as(Role.APPLICANT) as applicant:
            await applicant.create_deployment(
                id=DEPLOYMENT,
                name="Demonstration",
                starts_at=(now - timedelta(minutes=1)).isoformat(),
                ends_at=(now + timedelta(hours=5)).isoformat(),
                threshold=self._threshold,
                cameras=[{"id": CAMERA, "name": "Square"}],
            )
            answer = await applicant.import_list(DEPLOYMENT, pack(images))
        self.outcome.refused = list(answer["refused"])
        self.outcome.list_size = int(answer["size"])
        if not self.outcome.list_size:
            reasons = "; ".join(f"{r['image']}: {r['message']}" for r in self.outcome.refused)
            raise Fatal(f"nobody could be put on the list: {reasons}")
        async with self._as(Role.OPERATOR) as operator:
            await operator.start(DEPLOYMENT)
            await self._until_open(operator)

    async def _until_open(self, operator: Gateway) -> None:
        """Ingest hears of the start a moment later."""
        deadline = time.monotonic() + _CAMERA_OPEN_S
        while (await retry("read the cameras", lambda: operator.cameras(DEPLOYMENT)))[0]["sight"] not in _OPEN:
            if time.monotonic() > deadline:
                raise Fatal("the camera was not opened: see the log of ingest")
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def watching(self, on_alert: Callable[[SeenAlert], None]):  # type: ignore[no-untyped-def]
        """Follows the alert stream while the body runs."""
        task = asyncio.create_task(self._follow(on_alert), name="follow alerts")
        try:
            try:
                await asyncio.wait_for(self._connected.wait(), _STREAM_OPEN_S)
            except TimeoutError:
                raise Fatal("the stream of alerts was not opened: see the log of the gateway") from None
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def play(self, clip: Clip) -> None:
        """Pushes the clip in real time and waits for alerts that are still on their way."""
        async with self._as(Role.ADMINISTRATOR) as administrator:
            token = await retry("get the camera's token", lambda: administrator.camera_token(DEPLOYMENT, CAMERA))
        camera = PushCamera(self._machine.camera_address, token, DEPLOYMENT, CAMERA)
        started = time.monotonic()
        try:
            await camera.play(clip)
        finally:  # also when it is cut short: what was sent was sent
            self.outcome.played_seconds += time.monotonic() - started
            self._add(camera.result)
        deadline = time.monotonic() + _LATE_ALERT_S
        while self.outcome.missed and time.monotonic() < deadline:
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), deadline - time.monotonic())

    async def end(self) -> None:
        """Ends the deployment and waits for the camera's last receipt in the ledger."""
        async with self._as(Role.OPERATOR) as operator:
            await operator.end(DEPLOYMENT)
            deadline = time.monotonic() + _FINAL_LEDGER_S
            while True:
                self.outcome.ledger = await retry("read the ledger", lambda: operator.ledger(DEPLOYMENT))
                if self.outcome.ledger.get("final"):
                    break
                if time.monotonic() > deadline:
                    raise Fatal("the camera's last ledger receipt did not arrive: see the log of ingest")
                await asyncio.sleep(0.1)
        self.outcome.deaths = list(self._machine.deaths)

    async def _follow(self, on_alert: Callable[[SeenAlert], None]) -> None:
        """Reconnects when the stream ends: alerts or the gateway may be restarted under us."""
        async with self._as(Role.OPERATOR) as operator:
            while True:
                try:
                    async for event, data in self._events(operator):
                        if event == "alert":
                            self._note(data, on_alert)
                except Fatal:
                    raise
                except (OvertError, httpx.TransportError):
                    pass  # anything else is a defect, here or in `on_alert`
                await asyncio.sleep(0.3)

    async def _events(self, operator: Gateway):  # type: ignore[no-untyped-def]
        stream = operator.follow_alerts(DEPLOYMENT)
        async for event, data in stream:
            self._connected.set()
            yield event, data

    def _note(self, data: dict[str, Any], on_alert: Callable[[SeenAlert], None]) -> None:
        alert = data.get("alert", data)
        if any(known.alert_id == alert["id"] for known in self.outcome.alerts):
            return
        latency = datetime.now(UTC) - when(alert["first_captured_at"])
        seen = SeenAlert(
            subject=alert["subject_ref"],
            camera=alert["camera"],
            score=float(alert["score"]),
            latency_ms=latency.total_seconds() * 1e3,
            alert_id=alert["id"],
        )
        self.outcome.alerts.append(seen)
        self._arrived.set()
        on_alert(seen)

    def _add(self, result: PushResult) -> None:
        total = self.outcome.push
        total.sent += result.sent
        total.receipts.update(result.receipts)
        total.lived_ms.extend(result.lived_ms)
        total.reconnects += result.reconnects


def names_on(images: Iterable[ListImage]) -> list[str]:
    return sorted({image.row["subject_ref"] for image in images})
