"""JetStream in memory, as far as MemoryBus needs it: the broker, its streams with their limits, who may what."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from overt.bus.port import Stored
from overt.bus.steward import overlap
from overt.bus.wire import checked_subject, what_of
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import CORE, STREAMS, Service


@dataclass(slots=True, repr=False)
class Kept:
    """One message of a stream."""

    stored: Stored
    traceparent: str
    deleted: bool


@dataclass(slots=True)
class Durable:
    """How far a consumer has come. Outlives its subscriptions."""

    next_sequence: int = 1
    delivered: dict[int, int] = field(default_factory=dict)
    # (when, sequence) of what was given back.
    again: list[tuple[float, int]] = field(default_factory=list)


class MemoryStream:
    """Keeps messages in order of their sequence. `changed` is set and replaced at every change."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._name: str = config["name"]
        self._per_subject: int = config.get("max_msgs_per_subject", -1)
        self._max_bytes: int = config["max_bytes"]
        self._drops_oldest = config["discard"] == "old"
        self._kept: dict[int, Kept] = {}
        self._ids: dict[str, int] = {}
        self._sequences = itertools.count(1)
        self._size = 0
        self.changed = asyncio.Event()
        self.durables: dict[str, Durable] = {}

    def append(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str | None = None,
        traceparent: str = "",
        expected: int | None = None,
        deleted: bool = False,
    ) -> int:
        """Rejected(CONFLICT) if `expected` is not the subject's newest sequence; Retryable if it is full."""
        if message_id is not None and message_id in self._ids:
            return self._ids[message_id]
        before = self.newest(subject)
        if expected is not None and expected != (before.stored.sequence if before else 0):
            raise Rejected(Reason.CONFLICT, "somebody else has changed it meanwhile: read it again")
        replaced = before if before and self._per_subject == 1 else None
        growth = len(data) - (len(replaced.stored.data) if replaced else 0)
        while self._drops_oldest and self._kept and self._size + growth > self._max_bytes:
            self.remove(min(self._kept))
        if self._size + growth > self._max_bytes:
            raise Retryable(f"{self._name} is full")
        if replaced:
            self.remove(replaced.stored.sequence)
        sequence = next(self._sequences)
        self._kept[sequence] = Kept(Stored(subject, data, sequence, datetime.now(UTC)), traceparent, deleted)
        self._size += len(data)
        if message_id is not None:
            self._ids[message_id] = sequence
        self._tell()
        return sequence

    def get(self, sequence: int) -> Kept | None:
        return self._kept.get(sequence)

    def newest(self, subject: str) -> Kept | None:
        return next((k for k in reversed(self._kept.values()) if k.stored.subject == subject), None)

    def newest_of_every(self, pattern: str = ">", *, after: int = 0) -> list[Kept]:
        found: dict[str, Kept] = {}
        for sequence, kept in self._kept.items():
            if sequence > after and overlap(kept.stored.subject, pattern):
                found[kept.stored.subject] = kept
        return sorted(found.values(), key=lambda k: k.stored.sequence)

    def after(self, sequence: int) -> int | None:
        """The first sequence there is from this one on."""
        return next((s for s in self._kept if s >= sequence), None)

    def remove(self, sequence: int) -> None:
        if gone := self._kept.pop(sequence, None):
            self._size -= len(gone.stored.data)

    def purge(self) -> None:
        self._kept.clear()
        self._size = 0
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class MemoryBroker:
    """What the connections share."""

    def __init__(self) -> None:
        self.streams: dict[str, MemoryStream] = {}
        self.objects: dict[str, dict[str, bytes]] = {}
        self.listeners: list[Callable[[str, bytes, str], None]] = []
        self.servers: list[tuple[str, Callable[[str, bytes, str], Coroutine[Any, Any, bytes]]]] = []
        self.turn = itertools.count()
        self.down_since: float | None = None
        self._watchers: list[Callable[[bool], None]] = []

    @property
    def is_up(self) -> bool:
        return self.down_since is None

    def down(self) -> None:
        """Every call is Retryable until `up`, and requests that wait fail at once. What is stored is kept."""
        self.down_since = time.monotonic()
        self._tell()

    def up(self) -> None:
        self.down_since = None
        self._tell()

    def watch(self, callback: Callable[[bool], None]) -> None:
        """Called with `is_up` whenever that changes."""
        self._watchers.append(callback)

    def _tell(self) -> None:
        for callback in list(self._watchers):
            callback(self.is_up)


class MemoryConnection:
    """One service's way to the broker. `service` None may do everything."""

    def __init__(self, broker: MemoryBroker, service: Service | None) -> None:
        self.broker = broker
        self.service = service
        self.closed = False

    @property
    def connected(self) -> bool:
        return self.broker.is_up and not self.closed

    def check_up(self) -> None:
        if not self.connected:
            raise Retryable("the bus is not connected")

    def stream(self, name: str) -> MemoryStream:
        self.check_up()
        try:
            return self.broker.streams[name]
        except KeyError:
            raise Retryable(f"there is no stream {name}") from None

    def check_publish(self, subject: str) -> None:
        checked_subject(subject)
        self.check_up()
        core = [s.publishers for s in CORE if overlap(subject, s.every)]
        self._check(subject, core + [s.publishers for s in STREAMS if overlap(subject, s.every)])

    def check_listen(self, subject: str) -> None:
        self.check_up()
        self._check(subject, [s.subscribers for s in CORE if overlap(subject, s.every)])

    def check_read(self, subject: str) -> None:
        self.check_up()
        self._check(subject, [s.readers for s in STREAMS if overlap(subject, s.every)])

    def check_among(self, services: frozenset[Service], what: str) -> None:
        self.check_up()
        self._check(what, [services])

    def _check(self, subject: str, allowed: list[frozenset[Service]]) -> None:
        if self.service is not None and not any(self.service in services for services in allowed):
            raise Rejected(Reason.NOT_ALLOWED, f"this service may not use {what_of(subject)} on the bus")
