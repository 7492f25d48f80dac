"""What alerts there are, in memory, one shelf a deployment, and who watches it. No I/O.

Everything here happens in one event loop without an await in between, so a watcher sees what is there and then
every change, nothing twice and nothing lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from overt.errors import OvertError, Rejected, Retryable
from overt.ids import AlertId
from overt.reasons import Reason

from overt_alerts.domain import Alert, AlertChange, Change, EvidenceId, Finding, Tombstone, buried, takes

MAX_WAITING = 256
"""Changes a watcher may be behind before it is sent away. A deployment has tens of alerts."""


@dataclass(frozen=True, slots=True)
class Held:
    """An open alert and the revision of its stored record."""

    alert: Alert
    revision: int


class Watcher:
    """One reader of a shelf. Iterate `changes()` once; it ends when the shelf goes, or raises what ended it.

    What waits is an id and a kind, never an alert: a reader that stalls must not keep alive what has expired.
    """

    def __init__(self, shelf: Shelf, first: Iterable[AlertId], most: int) -> None:
        self._shelf = shelf
        self._first = deque(first)
        self._waiting: deque[tuple[Change, AlertId]] = deque()
        self._most = most
        self._wake = asyncio.Event()
        self._ended = False
        self._why: OvertError | None = None

    def tell(self, change: Change, alert_id: AlertId) -> None:
        """Never blocks. A watcher that is too far behind is ended with Retryable."""
        if len(self._waiting) >= self._most:
            self.end(Retryable("this watcher fell too far behind: watch again"))
            return
        self._waiting.append((change, alert_id))
        self._wake.set()

    def end(self, why: OvertError | None = None) -> None:
        """No more changes: at once when there is a reason, else after those that wait. Idempotent."""
        if self._ended:
            return
        self._ended, self._why = True, why
        if why is not None:
            self._waiting.clear()
        self._shelf.leave(self)
        self._wake.set()

    async def changes(self) -> AsyncGenerator[AlertChange]:
        try:
            while self._first and self._why is None:
                if (there := self._shelf.view(self._first.popleft())) is not None:
                    yield AlertChange(Change.RAISED if isinstance(there, Alert) else Change.EXPIRED, there)
            while True:
                while self._waiting:
                    change, alert_id = self._waiting.popleft()
                    there = self._shelf.view(alert_id)
                    # Expired since: its own change follows and says so.
                    if there is not None and isinstance(there, Tombstone) == (change is Change.EXPIRED):
                        yield AlertChange(change, there)
                if self._ended:
                    break
                self._wake.clear()
                await self._wake.wait()
            if self._why is not None:
                raise self._why
        finally:
            self._shelf.leave(self)


class Shelf:
    """The alerts of one deployment. `lock` makes intake take one piece of evidence at a time."""

    def __init__(self, deployment: str, *, keep_for: timedelta, on_earlier: asyncio.Event) -> None:
        self.deployment = deployment
        self.keep_for = keep_for
        self.lock = asyncio.Lock()
        self._held: dict[AlertId, Held] = {}
        self._tombstones: dict[AlertId, Tombstone] = {}
        self._evidence: dict[EvidenceId, AlertId] = {}
        self._watchers: set[Watcher] = set()
        self._on_earlier = on_earlier

    def __repr__(self) -> str:
        return f"Shelf({self.deployment}, {len(self._held)} open, {len(self._tombstones)} expired)"

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def held(self, alert_id: AlertId) -> Held | None:
        return self._held.get(alert_id)

    def view(self, alert_id: AlertId) -> Alert | Tombstone | None:
        """What may be shown of it: the alert while its key exists, its tombstone after."""
        if (held := self._held.get(alert_id)) is not None:
            return held.alert
        return self._tombstones.get(alert_id)

    def all(self, now: datetime) -> list[Alert | Tombstone]:
        """In the order they were raised, expired ones too; one whose time is over shows as expired already."""
        open_ones = (h.alert if h.alert.is_open(now) else buried(h.alert) for h in self._held.values())
        return sorted([*self._tombstones.values(), *open_ones], key=_raised_at)

    def open_alert(self, alert_id: AlertId, now: datetime) -> Held:
        """Rejected(UNKNOWN_ALERT), or Rejected(EXPIRED) from the moment its time is over."""
        held = self._held.get(alert_id)
        if held is not None and held.alert.is_open(now):
            return held
        if held is not None or alert_id in self._tombstones:
            raise Rejected(Reason.EXPIRED, "this alert has expired; its key is destroyed")
        raise Rejected(Reason.UNKNOWN_ALERT, "there is no such alert in this deployment")

    def is_done_with(self, finding: Finding) -> bool:
        """Whether this evidence changed the shelf before, or belongs to an alert that has expired."""
        return finding.evidence_id in self._evidence or finding.alert_id in self._tombstones

    def taker(self, finding: Finding, *, now: datetime, cooldown: timedelta) -> Held | None:
        """The open alert that this is another sighting of; the newest if there are several."""
        takers = [h for h in self._held.values() if takes(h.alert, finding, now=now, cooldown=cooldown)]
        return max(takers, key=lambda h: h.alert.raised_at, default=None)

    def put(self, held: Held, change: Change = Change.RAISED) -> None:
        """Adds or replaces one."""
        alert = held.alert
        self._held[alert.alert_id] = held
        self._evidence.update((s.evidence_id, alert.alert_id) for s in alert.sightings)
        self._on_earlier.set()
        self._tell(change, alert.alert_id)

    def bury(self, tombstone: Tombstone) -> None:
        """Replaces an alert by what may stay of it."""
        self._held.pop(tombstone.alert_id, None)
        self._tombstones[tombstone.alert_id] = tombstone
        self._evidence.update((e, tombstone.alert_id) for e in tombstone.evidence_ids)
        self._tell(Change.EXPIRED, tombstone.alert_id)

    def watch(self, *, only_new: bool = False, most: int = MAX_WAITING) -> Watcher:
        """What is there now (unless `only_new`), then every change."""
        there: list[Alert | Tombstone] = [*self._tombstones.values(), *(h.alert for h in self._held.values())]
        there.sort(key=_raised_at)
        watcher = Watcher(self, () if only_new else [a.alert_id for a in there], most)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def end_watchers(self, why: OvertError | None) -> None:
        for watcher in tuple(self._watchers):
            watcher.end(why)

    def _tell(self, change: Change, alert_id: AlertId) -> None:
        for watcher in tuple(self._watchers):
            watcher.tell(change, alert_id)


class Board:
    """Every deployment's shelf. `changed` is set when an alert arrives, whose expiry may be the next one."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._shelves: dict[str, Shelf] = {}
        self._closed = False

    def __iter__(self) -> Iterator[Shelf]:
        return iter(tuple(self._shelves.values()))

    def get(self, deployment: str) -> Shelf | None:
        return self._shelves.get(deployment)

    def make(self, deployment: str, *, keep_for: timedelta) -> Shelf:
        """An empty one that nobody sees until it is added."""
        return Shelf(deployment, keep_for=keep_for, on_earlier=self.changed)

    def add(self, shelf: Shelf) -> None:
        self._shelves[shelf.deployment] = shelf
        self.changed.set()

    def remove(self, deployment: str) -> None:
        """Its watchers end."""
        if (shelf := self._shelves.pop(deployment, None)) is not None:
            shelf.end_watchers(None)

    def watch(self, shelf: Shelf, *, only_new: bool) -> Watcher:
        """Retryable once the service stops."""
        if self._closed:
            raise Retryable("alerts is stopping: watch again")
        return shelf.watch(only_new=only_new)

    def end_watchers(self) -> None:
        """The service stops: nobody may wait for a change any more."""
        self._closed = True
        for shelf in self:
            shelf.end_watchers(Retryable("alerts is stopping: watch again"))


_NEVER = datetime.min


def _raised_at(what: Alert | Tombstone) -> tuple[bool, datetime, str]:
    at = what.raised_at
    return at is not None, (at or _NEVER).replace(tzinfo=None), what.alert_id
