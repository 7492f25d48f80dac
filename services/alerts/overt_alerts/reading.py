"""The use cases of the gRPC service `Alerts`: what there is, one alert, one of its pictures, every change."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from overt.errors import Rejected
from overt.ids import AlertId
from overt.reasons import Reason
from overt.runtime.clock import Clock

from overt_alerts.adapters.vault import Vault
from overt_alerts.domain import Alert, AlertChange, Part, Tombstone
from overt_alerts.reconcile import Reconciler
from overt_alerts.shelf import Board


class Reading:
    """Rejected(UNKNOWN_DEPLOYMENT), Rejected(UNKNOWN_ALERT), and Rejected(EXPIRED) from the very moment an alert's
    time is over, whether or not its key is destroyed yet."""

    def __init__(self, *, board: Board, reconciler: Reconciler, vault: Vault, clock: Clock) -> None:
        self._board = board
        self._reconciler = reconciler
        self._vault = vault
        self._clock = clock

    async def all(self, deployment: str) -> list[Alert | Tombstone]:
        """In the order they were raised, the expired ones too."""
        shelf = await self._reconciler.shelf(deployment)
        return shelf.all(self._clock.now())

    async def one(self, deployment: str, alert_id: str) -> Alert:
        shelf = await self._reconciler.shelf(deployment)
        return shelf.open_alert(AlertId(alert_id), self._clock.now()).alert

    async def picture(self, deployment: str, alert_id: str, part: Part) -> bytes:
        """JPEG, decrypted for this call only. Rejected(UNKNOWN_ENTRY) for the reference of a rival where none is."""
        alert = await self.one(deployment, alert_id)
        if part not in alert.parts:
            raise Rejected(Reason.UNKNOWN_ENTRY, "no other entry is as like: this alert is not ambiguous")
        return await self._vault.picture(deployment, alert.alert_id, part)

    async def changes(self, deployment: str, *, only_new: bool) -> AsyncGenerator[AlertChange]:
        """What is there, then every change, without end. Retryable for a watcher that is too slow, and when the
        service stops; ends by itself when the deployment is purged."""
        watcher = self._board.watch(await self._reconciler.shelf(deployment), only_new=only_new)
        async with contextlib.aclosing(watcher.changes()) as changes:
            async for change in changes:
                yield change
