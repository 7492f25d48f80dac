"""What a start finds of a deployment's alerts, and the cleaning up after whatever ended the last life.

| key | record | tombstone | what happened | what is done |
|---|---|---|---|---|
| yes | yes | no | nothing | it is on the shelf; revisions before the newest are erased |
| no | yes | no | killed between the key's destruction and the burial | buried, its times unknown |
| any | any | yes | killed during the burial | key destroyed, the rest erased |
| yes | no | no | killed while it was being stored, not acknowledged | key destroyed, pictures erased: it comes again |
| no | no | no | the same, killed during this cleaning | pictures erased |
"""

from __future__ import annotations

from dataclasses import dataclass, field

from overt.errors import Rejected
from overt.ids import AlertId
from overt.telemetry import get_logger

from overt_alerts.adapters.vault import Message, Vault
from overt_alerts.custody import Custody
from overt_alerts.domain import Tombstone
from overt_alerts.shelf import Held, Shelf

log = get_logger(__name__)


@dataclass(slots=True)
class _Found:
    """What lies in the store of one alert, beside its pictures."""

    records: list[Message] = field(default_factory=list)
    tombstone: Tombstone | None = None


class Recovery:
    """Fills an empty shelf. The keyring must be the right one: see `Custody.has`."""

    def __init__(self, *, custody: Custody, vault: Vault) -> None:
        self._custody = custody
        self._vault = vault

    async def fill(self, shelf: Shelf) -> None:
        """Idempotent, and safe to be killed in at any point. Retryable when the bus or keyring is away."""
        found = await self._found(shelf.deployment)
        with_key = set(await self._custody.alerts_with_keys(shelf.deployment))
        held = {a: await self._newest(shelf.deployment, found[a]) for a in with_key if _is_alive(found.get(a))}
        alive = {alert_id: h for alert_id, h in held.items() if h is not None}
        await self._custody.destroy_alert_keys(shelf.deployment, with_key - alive.keys())
        for alert_id, there in found.items():
            if alert_id in alive:
                await self._vault.erase_revisions_but(alive[alert_id])
            elif there.tombstone is not None or there.records:
                tombstone = there.tombstone or Tombstone(alert_id, shelf.deployment)
                await self._vault.bury(tombstone)
                shelf.bury(tombstone)
            else:
                await self._vault.erase(shelf.deployment, alert_id)
                log.info("unfinished_alert_cleaned", deployment=shelf.deployment, alert=alert_id)
        for one in alive.values():
            shelf.put(one)

    def forget(self, deployment: str) -> None:
        """What was found of a deployment whose streams are deleted."""
        self._vault.forget(deployment)

    async def _found(self, deployment: str) -> dict[AlertId, _Found]:
        found: dict[AlertId, _Found] = {}
        async for message in self._vault.everything(deployment):
            there = found.setdefault(message.alert_id, _Found())
            if message.is_record:
                there.records.append(message)
            elif message.is_tombstone:
                there.tombstone = self._vault.tombstone(deployment, message)
        return found

    async def _newest(self, deployment: str, there: _Found) -> Held | None:
        for message in sorted(there.records, key=lambda m: m.revision, reverse=True):
            try:
                return await self._vault.record(deployment, message)
            except Rejected as error:
                log.error("record_unreadable", deployment=deployment, alert=message.alert_id, reason=error.reason)
        return None


def _is_alive(there: _Found | None) -> bool:
    return there is not None and there.tombstone is None and bool(there.records)
