"""Fakes of the gateway's peers: they keep the words of `overt_gateway.ports`, in memory, and can go away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from overt.auth import TokenIssuer, TokenVerifier, generate_issuer_key
from overt.errors import Rejected, Retryable
from overt.ledger import CameraAccount, merge
from overt.ledger.figures import figures
from overt.permissions import Role
from overt.reasons import Reason
from overt.runtime import Clock, SystemClock

from overt_gateway.auth import LoginCodes, Tokens
from overt_gateway.domain import Deployment
from overt_gateway.ports import Alert, AlertEvent, Part, Reference, Rival, Sighting, Versioned
from overt_gateway.routes.v1.alert_stream import AlertFeeds
from overt_gateway.sights import Sights
from overt_gateway.testing_lists import MODEL_DIGEST, FakeWatchlists
from overt_gateway.web_app import Parts


class MemoryDeployments:
    """Revisions rise over all deployments, as in the real bucket."""

    def __init__(self) -> None:
        self.stored: dict[str, Versioned] = {}
        self._revision = 0

    async def get(self, deployment: str) -> Versioned | None:
        return self.stored.get(deployment)

    async def all(self) -> Sequence[Versioned]:
        return sorted(self.stored.values(), key=lambda v: v.deployment.created_at, reverse=True)

    async def create(self, deployment: Deployment) -> Versioned:
        if deployment.deployment_id in self.stored:
            raise Rejected(Reason.CONFLICT, "it is there already")
        return self._put(deployment)

    async def replace(self, deployment: Deployment, revision: int) -> Versioned:
        if self.stored[deployment.deployment_id].revision != revision:
            raise Rejected(Reason.CONFLICT, "somebody else changed it: read it again")
        return self._put(deployment)

    def _put(self, deployment: Deployment) -> Versioned:
        self._revision += 1
        self.stored[deployment.deployment_id] = Versioned(deployment, self._revision)
        return self.stored[deployment.deployment_id]


class FakeKeys:
    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.away = False

    async def prepare(self, deployment: str) -> bytes:
        if self.away:
            raise Retryable("alerts does not answer at the moment")
        self.prepared.append(deployment)
        return bytes(32)


class FakeEnroller:
    """Every picture is good but those in `refuses`. `most_at_once` is what was seen."""

    def __init__(self) -> None:
        self.refuses: dict[bytes, Reason] = {}
        self.digest = MODEL_DIGEST
        self.fails = 0
        self.most_at_once = 0
        self._now = 0

    async def enrol(self, image: bytes) -> Reference:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await asyncio.sleep(0)
            if self.fails:
                self.fails -= 1
                raise Retryable("detect does not answer at the moment")
            if image in self.refuses:
                raise Rejected(self.refuses[image], "not usable")
            return Reference(bytes(512), image)
        finally:
            self._now -= 1

    async def model_digest(self) -> str:
        return self.digest


class FakeAlerts:
    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.pictures: dict[tuple[str, Part], bytes] = {}
        self.away = False
        self._watchers: list[tuple[str, asyncio.Queue[AlertEvent | None]]] = []

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def tell(self, kind: str, alert: Alert, pictures: Mapping[Part, bytes] | None = None) -> None:
        """Raises an alert, or changes one."""
        self.alerts[alert.alert_id] = alert
        for part, jpeg in (pictures or {}).items():
            self.pictures[alert.alert_id, part] = jpeg
        for deployment, queue in self._watchers:
            if deployment == alert.deployment:
                queue.put_nowait(AlertEvent(kind, alert))

    def go_away(self) -> None:
        """Every watch ends, and every call fails, until `away` is False."""
        self.away = True
        for _, queue in self._watchers:
            queue.put_nowait(None)

    def expire(self, alert_id: str) -> None:
        """Its key is destroyed: ids and times are left."""
        buried = replace(
            self.alerts[alert_id],
            state="expired",
            subject_ref="",
            category="",
            reason="",
            legal_basis="",
            sightings=(),
            scene_face=None,
            rival=None,
        )
        for part in Part:
            self.pictures.pop((alert_id, part), None)
        self.tell("expired", buried)

    async def all(self, deployment: str) -> Sequence[Alert]:
        self._check()
        return [alert for alert in self.alerts.values() if alert.deployment == deployment]

    async def get(self, deployment: str, alert_id: str) -> Alert:
        self._check()
        alert = self.alerts.get(alert_id)
        if alert is None or alert.deployment != deployment:
            raise Rejected(Reason.UNKNOWN_ALERT, "there is no such alert")
        if alert.state != "open":
            raise Rejected(Reason.EXPIRED, "it has expired: its key is destroyed")
        return alert

    async def evidence(self, deployment: str, alert_id: str, part: Part) -> bytes:
        if part not in (await self.get(deployment, alert_id)).pictures:
            raise Rejected(Reason.UNKNOWN_ENTRY, "no other entry is as like")
        return self.pictures[alert_id, part]

    async def watch(self, deployment: str) -> AsyncIterator[AlertEvent]:
        self._check()
        queue: asyncio.Queue[AlertEvent | None] = asyncio.Queue()
        entry = (deployment, queue)
        self._watchers.append(entry)
        try:
            for alert in await self.all(deployment):
                yield AlertEvent("raised" if alert.state == "open" else "expired", alert)
            while True:
                event = await queue.get()
                if event is None:
                    raise Retryable("alerts ended the stream")
                yield event
        finally:
            self._watchers.remove(entry)

    def _check(self) -> None:
        if self.away:
            raise Retryable("alerts does not answer at the moment")


class FakeLedgers:
    def __init__(self) -> None:
        self.accounts: list[CameraAccount] = []

    async def read(self, deployment: str) -> Mapping[str, Any]:
        mine = [account for account in self.accounts if account.deployment == deployment]
        totals = merge(mine)
        return {**figures(totals), "final": bool(mine) and not totals.open_epochs, "cameras": {}}


class FakePeers:
    """All fakes, an issuer, and the parts to build a gateway from them."""

    def __init__(self, *, clock: Clock | None = None, codes: LoginCodes | None = None) -> None:
        self.clock = clock or SystemClock()
        private, public = generate_issuer_key()
        self.issuer = TokenIssuer(private)
        self.verifier = TokenVerifier(public)
        self.deployments = MemoryDeployments()
        self.keys = FakeKeys()
        self.enroller = FakeEnroller()
        self.watchlists = FakeWatchlists()
        self.alerts = FakeAlerts()
        self.ledgers = FakeLedgers()
        self.sights = Sights(self.clock)
        self.tokens = Tokens(self.issuer, codes, self.clock, login_lifetime=timedelta(hours=1))
        self.feeds = AlertFeeds(alerts=self.alerts, clock=self.clock)

    def parts(self) -> Parts:
        return Parts(
            deployments=self.deployments,
            keys=self.keys,
            enroller=self.enroller,
            watchlists=self.watchlists,
            alerts=self.alerts,
            cameras=self.sights,
            ledgers=self.ledgers,
            verifier=self.verifier,
            tokens=self.tokens,
            feeds=self.feeds,
            clock=self.clock,
        )

    def token(self, role: Role, *, deployment: str | None = None, camera: str | None = None) -> str:
        if role is Role.CAMERA:
            deployment, camera = deployment or "market", camera or "gate"
        return self.issuer.issue(
            role,
            subject=role.value,
            lifetime=timedelta(minutes=5),
            deployment=deployment,
            camera=camera,
        )

    def headers(self, role: Role, *, deployment: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(role, deployment=deployment)}"}


def an_alert(
    *, deployment: str = "market", now: datetime, alert_id: str | None = None, subject_ref: str = "case-2231"
) -> Alert:
    """One to raise."""
    return Alert(
        alert_id=alert_id or str(uuid.uuid4()),
        deployment=deployment,
        state="open",
        camera="gate",
        entry_id=str(uuid.uuid4()),
        subject_ref=subject_ref,
        category="wanted_by_court",
        reason="failed to appear on 3 March",
        legal_basis="warrant 4411",
        under_18=False,
        score=0.5731,
        threshold=0.45,
        uncalibrated=True,
        first_captured_at=now,
        raised_at=now,
        expires_at=now + timedelta(days=1),
        sightings=(Sighting("gate", now, 0.5731),),
        scene_face=(60.0, 40.0, 50.0, 60.0),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def a_rival(subject_ref: str = "case-1907") -> Rival:
    """The other entry of an ambiguous alert."""
    return Rival(str(uuid.uuid4()), subject_ref, "recall_to_prison", under_18=False)
