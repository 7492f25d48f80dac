"""The end of an alert: at its time its key is destroyed, whatever else is broken, and then the rest is cleared."""

from __future__ import annotations

from datetime import datetime, timedelta

from overt.errors import Retryable
from overt.runtime.clock import Clock
from overt.runtime.waiting import set_within
from overt.telemetry import Metric, SpanName, count, get_logger, span

from overt_alerts.adapters.vault import Vault
from overt_alerts.custody import Custody
from overt_alerts.domain import Tombstone, buried
from overt_alerts.shelf import Board, Shelf

log = get_logger(__name__)

LONGEST_NAP = timedelta(seconds=30)
"""The wall clock decides when an alert expires and may be set at any time; a nap is never longer than this."""
RETRY_AFTER = timedelta(seconds=2)


class Expiry:
    """A root task. What expired while the service was down is due as soon as its shelf is filled."""

    def __init__(self, *, board: Board, custody: Custody, vault: Vault, clock: Clock) -> None:
        self._board = board
        self._custody = custody
        self._vault = vault
        self._clock = clock
        self._unburied: list[Tombstone] = []

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._board.changed.clear()
            try:
                await self.expire_due()
                nap = self._until_next()
            except Retryable as error:
                log.warning("expiry_delayed", error=error)
                nap = RETRY_AFTER
            await set_within(self._board.changed, nap.total_seconds())

    async def expire_due(self) -> None:
        """Keys first and all of them, because that needs nothing but the keyring; then what the bus holds.
        Retryable if some of it could not be done: call again."""
        now = self._clock.now()
        trouble: list[Retryable] = []
        for shelf in self._board:
            try:
                await self._destroy_keys(shelf, now)
            except Retryable as error:
                trouble.append(error)
        for tombstone in tuple(self._unburied):
            if self._board.get(tombstone.deployment) is None:  # purged meanwhile, with all its streams
                self._unburied.remove(tombstone)
                continue
            try:
                await self._vault.bury(tombstone)
            except Retryable as error:
                trouble.append(error)
            else:
                self._unburied.remove(tombstone)
        if trouble:
            raise trouble[0]

    async def _destroy_keys(self, shelf: Shelf, now: datetime) -> None:
        due = [h.alert for h in shelf if not h.alert.is_open(now)]
        if not due:
            return
        with span(SpanName.ALERT_EXPIRE, deployment=shelf.deployment, alerts=len(due)):
            await self._custody.destroy_alert_keys(shelf.deployment, [a.alert_id for a in due])
            for alert in due:
                # As it is now: a sighting may have joined while the key was being destroyed.
                held = shelf.held(alert.alert_id)
                tombstone = buried(held.alert if held is not None else alert)
                shelf.bury(tombstone)
                self._unburied.append(tombstone)
                log.info("alert_expired", deployment=shelf.deployment, alert=alert.alert_id)
            count(Metric.ALERTS_EXPIRED, len(due))

    def _until_next(self) -> timedelta:
        now = self._clock.now()
        waits = [h.alert.expires_at - now for shelf in self._board for h in shelf]
        return max(timedelta(0), min([*waits, LONGEST_NAP]))
