"""Where alerts lie: every part sealed under the alert's own key, on a subject of its own in ALERTS_<deployment>.

    overt.alert.DEP.ID.probe|reference|scene    a picture
    overt.alert.DEP.ID.record.N                 the record; the highest N counts
    overt.alert.DEP.ID.tombstone                in clear: that there was one, and when

A record is never overwritten: JetStream would forget the old message and leave its bytes in the block, out of
reach of an erasure (measured). So each revision has its own subject, and the one before it is erased.

The order of writes is the crash safety: key, pictures, record, and only then may the evidence be acknowledged.
The key dies first at the end, before anything that needs the bus. So a key without a record is an unfinished
alert (its evidence comes again) and a record without a key is an expired one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from overt.bus import Bus, Stored
from overt.crypto import aead
from overt.errors import Rejected
from overt.ids import AlertId
from overt.reasons import Reason
from overt.subjects import ALERT, EVIDENCE

from overt_alerts.adapters.wire import record_from, record_message, tombstone_from, tombstone_message
from overt_alerts.custody import Custody
from overt_alerts.domain import Alert, Part, Tombstone
from overt_alerts.shelf import Held

_RECORD = "record"
_TOMBSTONE = "tombstone"


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message of an alert. `revision` is a record's, else 0."""

    alert_id: AlertId
    what: str
    revision: int
    stored: Stored

    @property
    def is_record(self) -> bool:
        return self.what == _RECORD

    @property
    def is_tombstone(self) -> bool:
        return self.what == _TOMBSTONE


class Vault:
    """Every method raises Retryable when the bus or the keyring is away; all but `keep` can then be repeated."""

    def __init__(self, *, bus: Bus, custody: Custody) -> None:
        self._bus = bus
        self._custody = custody

    async def keep(self, alert: Alert, pictures: Mapping[Part, bytes]) -> Held:
        """Stores a new alert under a new key; it exists once this returns. Repeat it after a failure: what the
        failed attempt stored is erased first, for an overwritten message could not be erased any more."""
        key, fresh = await self._custody.alert_key_made(alert.deployment, alert.alert_id)
        if not fresh:
            await self.erase(alert.deployment, alert.alert_id)
        for part in Part:
            await self._put(key, _subject(alert.deployment, alert.alert_id, part), pictures[part])
        held = Held(alert, revision=1)
        await self._put_record(key, held)
        return held

    async def replace(self, held: Held) -> None:
        """Stores the next revision of a record, under the same key. Rejected(UNKNOWN_KEY) if that is gone."""
        alert = held.alert
        key = await self._custody.alert_key(alert.deployment, alert.alert_id)
        await self._erase_subject(alert.deployment, _record(held))
        await self._put_record(key, held)

    async def erase_revision(self, held: Held) -> None:
        """Of a record that was replaced."""
        await self._erase_subject(held.alert.deployment, _record(held))

    async def picture(self, deployment: str, alert_id: AlertId, part: Part) -> bytes:
        """Decrypted. Rejected(EXPIRED) if the key or the picture is gone."""
        subject = _subject(deployment, alert_id, part)
        stored = await self._bus.last(ALERT, deployment, subject)
        if stored is None:
            raise Rejected(Reason.EXPIRED, "this alert has expired; its pictures are erased")
        try:
            key = await self._custody.alert_key(deployment, alert_id)
        except Rejected:
            raise Rejected(Reason.EXPIRED, "this alert has expired; its key is destroyed") from None
        return aead.decrypt(key, stored.data, bound_to=subject.encode())

    async def bury(self, tombstone: Tombstone) -> None:
        """Stores the tombstone and erases everything else of the alert. Its key must be destroyed already."""
        subject = _subject(tombstone.deployment, tombstone.alert_id, _TOMBSTONE)
        if await self._bus.last(ALERT, tombstone.deployment, subject) is None:
            await self._bus.append(subject, tombstone_message(tombstone))
        await self.erase(tombstone.deployment, tombstone.alert_id)

    async def erase(self, deployment: str, alert_id: AlertId) -> None:
        """Overwrites on disk whatever there is of the alert, its tombstone excepted."""
        mine = self._messages(deployment, matching=ALERT.of(deployment, alert_id, ">"))
        for sequence in [m.stored.sequence async for m in mine if not m.is_tombstone]:
            await self._bus.steward.erase(ALERT, deployment, sequence)

    async def erase_evidence(self, deployment: str, sequence: int) -> None:
        """The sealed evidence, as ingest sent it."""
        await self._bus.steward.erase(EVIDENCE, deployment, sequence)

    async def everything(self, deployment: str) -> AsyncIterator[Message]:
        """Every message of every alert of the deployment."""
        async for message in self._messages(deployment, matching=None):
            yield message

    async def record(self, deployment: str, message: Message) -> Held:
        """Opens a stored record. Rejected(UNKNOWN_KEY) without its key, BAD_MESSAGE if it does not open."""
        key = await self._custody.alert_key(deployment, message.alert_id)
        opened = aead.decrypt(key, message.stored.data, bound_to=message.stored.subject.encode())
        alert = record_from(opened)
        if (alert.deployment, alert.alert_id) != (deployment, message.alert_id):
            raise Rejected(Reason.BAD_MESSAGE, "a record of another alert")
        return Held(alert, message.revision)

    def tombstone(self, deployment: str, message: Message) -> Tombstone:
        """A stored tombstone. Whatever is in it, it stands for the alert on whose subject it lies."""
        try:
            stone = tombstone_from(message.stored.data)
        except Rejected:
            return Tombstone(message.alert_id, deployment)
        if (stone.deployment, stone.alert_id) != (deployment, message.alert_id):
            return Tombstone(message.alert_id, deployment)
        return stone

    async def _put(self, key: bytes, subject: str, plaintext: bytes) -> None:
        await self._bus.append(subject, aead.encrypt(key, plaintext, bound_to=subject.encode()))

    async def _put_record(self, key: bytes, held: Held) -> None:
        await self._put(key, _record(held), record_message(held.alert).SerializeToString())

    async def _erase_subject(self, deployment: str, subject: str) -> None:
        if (stored := await self._bus.last(ALERT, deployment, subject)) is not None:
            await self._bus.steward.erase(ALERT, deployment, stored.sequence)

    async def _messages(self, deployment: str, *, matching: str | None) -> AsyncIterator[Message]:
        prefix = f"{ALERT.prefix}.{deployment}."
        async for stored in self._bus.latest(ALERT, deployment, matching=matching):
            alert_id, what, *rest = stored.subject.removeprefix(prefix).split(".")
            revision = int(rest[0]) if rest and rest[0].isdecimal() else 0
            yield Message(AlertId(alert_id), what, revision, stored)


def _subject(deployment: str, alert_id: AlertId, *what: str) -> str:
    return ALERT.of(deployment, alert_id, *what)


def _record(held: Held) -> str:
    return _subject(held.alert.deployment, held.alert.alert_id, _RECORD, str(held.revision))
