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
    """Every method raises Retryable when the bus or the keyring is away; it can then be repeated.

    Remembers the sequence of every message that it stored or found (`everything`), because that is what an
    erasure needs. None stands for one that may have been stored: nobody answered.
    """

    def __init__(self, *, bus: Bus, custody: Custody) -> None:
        self._bus = bus
        self._custody = custody
        self._where: dict[tuple[str, AlertId], dict[str, int | None]] = {}

    async def keep(self, alert: Alert, pictures: Mapping[Part, bytes]) -> Held:
        """Stores a new alert under a new key; it exists once this returns. Repeat it after a failure: what the
        failed attempt stored is erased first, for an overwritten message could not be erased any more."""
        key, fresh = await self._custody.alert_key_made(alert.deployment, alert.alert_id)
        if not fresh:
            await self.erase(alert.deployment, alert.alert_id)
        for part in alert.parts:
            await self._put(key, alert, _subject(alert.deployment, alert.alert_id, part), pictures[part])
        held = Held(alert, revision=1)
        await self._put(key, alert, _record(held), record_message(alert).SerializeToString())
        return held

    async def replace(self, held: Held) -> None:
        """Stores the next revision of a record, under the same key. Rejected(UNKNOWN_KEY) if that is gone."""
        alert, subject = held.alert, _record(held)
        key = await self._custody.alert_key(alert.deployment, alert.alert_id)
        await self._erase(alert.deployment, alert.alert_id, subject)
        await self._put(key, alert, subject, record_message(alert).SerializeToString())

    async def erase_revisions_but(self, held: Held) -> None:
        """Every revision of its record but this one."""
        alert, newest = held.alert, _record(held)
        records = _subject(alert.deployment, alert.alert_id, _RECORD, "")
        for subject in self._subjects(alert.deployment, alert.alert_id):
            if subject.startswith(records) and subject != newest:
                await self._erase(alert.deployment, alert.alert_id, subject)

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
        for subject in self._subjects(deployment, alert_id):
            await self._erase(deployment, alert_id, subject)

    def forget(self, deployment: str) -> None:
        """Where its messages lie, once their stream is deleted."""
        for key in [key for key in self._where if key[0] == deployment]:
            del self._where[key]

    async def erase_evidence(self, deployment: str, sequence: int) -> None:
        """The sealed evidence, as ingest sent it."""
        await self._bus.steward.erase(EVIDENCE, deployment, sequence)

    async def everything(self, deployment: str) -> AsyncIterator[Message]:
        """Every message of every alert of the deployment."""
        prefix = f"{ALERT.prefix}.{deployment}."
        async for stored in self._bus.latest(ALERT, deployment):
            name, what, *rest = stored.subject.removeprefix(prefix).split(".")
            message = Message(AlertId(name), what, int(rest[0]) if rest and rest[0].isdecimal() else 0, stored)
            if not message.is_tombstone:
                self._note(deployment, message.alert_id, stored.subject, stored.sequence)
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

    async def _put(self, key: bytes, alert: Alert, subject: str, plaintext: bytes) -> None:
        self._note(alert.deployment, alert.alert_id, subject, None)
        sequence = await self._bus.append(subject, aead.encrypt(key, plaintext, bound_to=subject.encode()))
        self._note(alert.deployment, alert.alert_id, subject, sequence)

    async def _erase(self, deployment: str, alert_id: AlertId, subject: str) -> None:
        known = self._where.get((deployment, alert_id), {})
        if subject not in known:
            return
        sequence = known[subject]
        if sequence is None and (stored := await self._bus.last(ALERT, deployment, subject)) is not None:
            sequence = stored.sequence
        if sequence is not None:
            await self._bus.steward.erase(ALERT, deployment, sequence)
        known.pop(subject, None)
        if not known:
            self._where.pop((deployment, alert_id), None)

    def _note(self, deployment: str, alert_id: AlertId, subject: str, sequence: int | None) -> None:
        self._where.setdefault((deployment, alert_id), {})[subject] = sequence

    def _subjects(self, deployment: str, alert_id: AlertId) -> list[str]:
        return list(self._where.get((deployment, alert_id), ()))


def _subject(deployment: str, alert_id: AlertId, *what: str) -> str:
    return ALERT.of(deployment, alert_id, *what)


def _record(held: Held) -> str:
    return _subject(held.alert.deployment, held.alert.alert_id, _RECORD, str(held.revision))
