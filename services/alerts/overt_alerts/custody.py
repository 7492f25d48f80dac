"""The keys of deployments and alerts, by what they are for. The one module that knows their ids' shape.

A deployment has a sealing key pair, one list secret (two while a rotation is under way) and a mark. The mark seals
nothing: it says that this keyring is the one that has the deployment's keys. Without it, an empty directory
mounted by mistake would look as if every key had been destroyed, and the records would be cleaned away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from overt.crypto import Destruction, KeyKind, Keyring, sealing
from overt.errors import Rejected
from overt.ids import AlertId, KeyId, alert_key_id, list_key_id, sealing_key_id
from overt.reasons import Reason
from overt.telemetry import Metric, SpanName, count, get_logger, span

log = get_logger(__name__)

FIRST_GENERATION = 1


class Custody:
    """The keyring off the event loop. Every change is durable when it returns."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def has(self, deployment: str) -> bool:
        """Whether this keyring was ever given the custody of this deployment's keys, and has not ended it."""
        return _mark_id(deployment) in await self._ids(_mark_id(deployment))

    async def prepare(self, deployment: str) -> bytes:
        """Makes what is missing; the public sealing key. The mark comes last: it stands for all of them."""
        if not await self._ids(sealing_key_id(deployment)):
            await self._create(sealing_key_id(deployment), KeyKind.SEALING)
        if not await self.generations(deployment):
            await self._create(list_key_id(deployment, FIRST_GENERATION), KeyKind.SYMMETRIC)
        if not await self.has(deployment):
            await self._create(_mark_id(deployment), KeyKind.SYMMETRIC)
        return sealing.public_of(await self.sealing_key(deployment))

    async def sealing_key(self, deployment: str) -> bytes:
        """The private one. Rejected(UNKNOWN_KEY) once it is destroyed."""
        return await self._get(sealing_key_id(deployment))

    async def generations(self, deployment: str) -> list[int]:
        """Of the list secret, rising: one, or the confirmed one and its successor."""
        prefix = str(list_key_id(deployment, 0)).removesuffix("0")
        return sorted(int(key_id.removeprefix(prefix)) for key_id in await self._ids(prefix))

    async def list_secret(self, deployment: str, generation: int) -> bytes:
        return await self._get(list_key_id(deployment, generation))

    async def create_list_secret(self, deployment: str, generation: int) -> bytes:
        return await self._create(list_key_id(deployment, generation), KeyKind.SYMMETRIC)

    async def destroy_list_secrets(self, deployment: str, generations: Iterable[int]) -> Destruction | None:
        return await self._destroy([list_key_id(deployment, g) for g in generations])

    async def destroy_sealing_key(self, deployment: str) -> Destruction | None:
        """Evidence on its way can no longer be opened by anybody."""
        return await self._destroy(await self._ids(sealing_key_id(deployment)))

    async def alert_key(self, deployment: str, alert_id: AlertId) -> bytes:
        """Rejected(UNKNOWN_KEY) once it is destroyed."""
        return await self._get(alert_key_id(deployment, alert_id))

    async def alerts_with_keys(self, deployment: str) -> list[AlertId]:
        prefix = str(alert_key_id(deployment, ""))
        return [AlertId(key_id.removeprefix(prefix)) for key_id in await self._ids(prefix)]

    async def alert_key_made(self, deployment: str, alert_id: AlertId) -> tuple[bytes, bool]:
        """The alert's key and whether it is new: one that is there is of an attempt that failed."""
        key_id = alert_key_id(deployment, alert_id)
        try:
            return await self._create(key_id, KeyKind.SYMMETRIC), True
        except Rejected as error:
            if error.reason is not Reason.CONFLICT:
                raise
            return await self._get(key_id), False

    async def destroy_alert_keys(self, deployment: str, alert_ids: Iterable[AlertId]) -> Destruction | None:
        """All at once: the keyring re-wraps its survivors once a call, not once a key."""
        return await self._destroy([alert_key_id(deployment, alert_id) for alert_id in alert_ids])

    async def destroy_all(self, deployment: str) -> Destruction | None:
        """Every key of the deployment and of its alerts, and the mark."""
        return await self._destroy(
            [*await self._ids(f"deployment/{deployment}/"), *await self._ids(str(alert_key_id(deployment, "")))]
        )

    async def _destroy(self, key_ids: Iterable[str]) -> Destruction | None:
        wanted = tuple(key_ids)
        if not wanted:
            return None
        with span(SpanName.KEYS_DESTROY, keys=len(wanted)):
            done = await asyncio.to_thread(self._keyring.destroy, *wanted)
        count(Metric.KEYS_DESTROYED, len(done.key_ids))
        if done.key_ids:
            log.info("keys_destroyed", keys=len(done.key_ids), medium=done.medium)
        return done

    async def _get(self, key_id: KeyId) -> bytes:
        return await asyncio.to_thread(self._keyring.get, key_id)

    async def _create(self, key_id: KeyId, kind: KeyKind) -> bytes:
        return await asyncio.to_thread(lambda: self._keyring.create(key_id, kind=kind))

    async def _ids(self, prefix: str) -> tuple[str, ...]:
        return await asyncio.to_thread(self._keyring.ids, prefix)


def _mark_id(deployment: str) -> KeyId:
    return KeyId(f"deployment/{deployment}/mark")
