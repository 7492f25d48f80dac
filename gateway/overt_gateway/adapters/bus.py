"""What the gateway keeps and hears on the bus: deployments (KV), the ledger (stream), cameras (core)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from overt.api.control.v1 import control_pb2
from overt.api.ingest.v1 import ingest_pb2
from overt.bus import Bus, Subscription
from overt.errors import Rejected
from overt.ledger import CameraAccount, merge
from overt.ledger.figures import figures
from overt.ledger.wire import from_receipt
from overt.subjects import DEPLOYMENTS, LEDGER, STATUS
from overt.telemetry import get_logger

from overt_gateway.adapters.wire import from_deployment, from_status, to_deployment
from overt_gateway.domain import Deployment
from overt_gateway.ports import Versioned
from overt_gateway.sights import Sights

log = get_logger(__name__)


class BusDeployments:
    """The port `Deployments`. `follow` has to run: it keeps `all` up to date."""

    def __init__(self, bus: Bus, sights: Sights) -> None:
        self._bucket = bus.bucket(DEPLOYMENTS)
        self._sights = sights
        self._known: dict[str, Versioned] = {}
        self._complete = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether everything that was there at the start has been read."""
        return self._complete.is_set()

    async def probe(self) -> None:
        """Retryable while the bucket is not there."""
        await self._bucket.get("probe")

    async def until_ready(self) -> None:
        await self._complete.wait()

    async def follow(self) -> None:
        """A root task: the bucket's changes, for ever."""
        watch = self._bucket.watch()
        try:
            async for change in watch:
                if change.is_marker:
                    self._complete.set()
                elif change.value is not None:
                    self._note(change.key, change.value, change.revision)
                else:
                    self._known.pop(change.key, None)
        finally:
            await watch.aclose()

    async def get(self, deployment: str) -> Versioned | None:
        found = await self._bucket.get(deployment)
        return None if found is None else self._remember(_read(found[1]), found[0])

    async def all(self) -> Sequence[Versioned]:
        await self._complete.wait()
        return sorted(self._known.values(), key=lambda v: v.deployment.created_at, reverse=True)

    async def create(self, deployment: Deployment) -> Versioned:
        revision = await self._bucket.create(deployment.deployment_id, to_deployment(deployment))
        return self._remember(deployment, revision)

    async def replace(self, deployment: Deployment, revision: int) -> Versioned:
        new = await self._bucket.update(deployment.deployment_id, to_deployment(deployment), revision)
        return self._remember(deployment, new)

    def _note(self, key: str, value: bytes, revision: int) -> None:
        try:
            self._remember(_read(value), revision)
        except DecodeError:
            log.error("deployment_unreadable", deployment=key, revision=revision)

    def _remember(self, deployment: Deployment, revision: int) -> Versioned:
        """The newest revision wins, whoever brings it: a reply, or the watch."""
        fresh = Versioned(deployment, revision)
        known = self._known.get(deployment.deployment_id)
        if known is None or known.revision < revision:
            self._known[deployment.deployment_id] = fresh
            if deployment.state.is_over:
                self._sights.forget(deployment.deployment_id)
        return fresh


class BusLedgers:
    """The port `Ledgers`: the newest receipt of every subject, merged."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self, deployment: str) -> Mapping[str, Any]:
        accounts = [account async for account in self._accounts(deployment)]
        together = _figures(accounts)
        cameras = sorted({account.camera for account in accounts})
        return {
            **together,
            "cameras": {
                camera: _figures([account for account in accounts if account.camera == camera]) for camera in cameras
            },
        }

    async def _accounts(self, deployment: str) -> AsyncIterator[CameraAccount]:
        async for stored in self._bus.latest(LEDGER, deployment):
            try:
                yield from_receipt(ingest_pb2.LedgerReceipt.FromString(stored.data))
            except (DecodeError, Rejected) as error:
                # A ledger that cannot be read must not look like one that balances.
                raise RuntimeError(f"receipt {stored.sequence} of the ledger cannot be read") from error


def _figures(accounts: list[CameraAccount]) -> dict[str, Any]:
    totals = merge(accounts)
    return {**figures(totals), "final": bool(accounts) and totals.open_epochs == 0}


async def listen_to_cameras(bus: Bus, sights: Sights) -> Subscription:
    """Keeps `sights` up to date until the subscription is closed."""

    async def note(subject: str, message: ingest_pb2.CameraStatus) -> None:
        sights.note(message.deployment, message.camera, from_status(message))

    return await bus.subscribe(STATUS.every, ingest_pb2.CameraStatus, note)


def _read(value: bytes) -> Deployment:
    return from_deployment(control_pb2.Deployment.FromString(value))
