"""Reading what is stored, by subject: a direct get of the newest message of one, or of every subject.

Only subject-scoped forms of JetStream's API are used, because only those can be permitted to one service and
refused to another: never STREAM.MSG.GET, STREAM.INFO or a direct get by sequence.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from overt.bus.connection import ApiError, Connection
from overt.bus.port import Stored
from overt.bus.wire import API
from overt.errors import Retryable

HEARTBEAT: Final = timedelta(milliseconds=500)
_NANOSECONDS: Final = 1_000_000_000
NO_SUCH_STREAM: Final = 10059
WRONG_REVISION: Final = frozenset({10071, 10164})
"""err_code of JetStream's answers."""


async def newest(connection: Connection, stream: str, subject: str) -> tuple[Stored, Mapping[str, str]] | None:
    """The newest message of a subject and its headers."""
    answer = await connection.ask(f"{API}DIRECT.GET.{stream}.{subject}", b"", timeout=timedelta(seconds=5))
    headers = answer.headers or {}
    if "Nats-Sequence" not in headers:
        if headers.get("Status") == "404":
            return None
        raise Retryable(f"{stream} does not answer: {headers.get('Status')} {headers.get('Description', '')}")
    stored = Stored(
        subject=headers["Nats-Subject"],
        data=answer.data,
        sequence=int(headers["Nats-Sequence"]),
        at=parsed_time(headers["Nats-Time-Stamp"]),
    )
    return stored, headers


async def newest_of_every(connection: Connection, stream: str, filtered: str) -> AsyncIterator[Stored]:
    """One at a time, in the order in which they were stored; what vanishes meanwhile is left out."""
    subjects = await subjects_of(connection, stream, filtered)
    for subject in subjects:
        if found := await newest(connection, stream, subject):
            yield found[0]


async def subjects_of(connection: Connection, stream: str, filtered: str) -> list[str]:
    """The subjects that hold a message, oldest newest-message first. Retryable if there is no such stream."""
    cursor = Cursor(connection, stream, filtered, headers_only=True)
    try:
        await cursor.open()
        subjects: list[str] = []
        while cursor.left > 0:
            message = await cursor.next(idle_ends=True)
            if message is not None:
                subjects.append(message.subject)
            elif not cursor.idle:
                raise Retryable(f"reading {stream} was interrupted")
        return subjects
    finally:
        await cursor.close()


class Cursor:
    """An ephemeral consumer that pushes to our inbox: what is there, newest of each subject, then what comes.

    `next` returns None when the thread is lost: a message is missing, the server restarted or fell silent. Then
    `open` again: it begins anew. Going on after the last message would be deaf, and seem well, where the store was
    rebuilt or restored from an older copy meanwhile: the server takes a start beyond the end without a word.

    `left` is how many messages of those that were there are still to come; `heard_at` when it was last known, by
    time.monotonic(), that none was.
    """

    def __init__(self, connection: Connection, stream: str, filtered: str, *, headers_only: bool = False) -> None:
        self._connection = connection
        self._stream = stream
        self._filtered = filtered
        self._headers_only = headers_only
        self._listening: NatsSubscription | None = None
        self._arrived: asyncio.Queue[tuple[float, Msg]] = asyncio.Queue()
        self._number = 0
        self.left = 0
        self.heard_at = time.monotonic()
        self.idle = False

    async def open(self) -> None:
        """Retryable if there is no such stream or no server."""
        await self.close()
        # The reply and the first messages race: both must find the beginning.
        self._arrived, self._number = asyncio.Queue(), 0
        inbox = self._connection.new_inbox()
        self._listening = await self._connection.listen(inbox, self._arrive, messages=65536)
        name = secrets.token_hex(8)
        config: dict[str, Any] = {
            "name": name,
            "filter_subject": self._filtered,
            "deliver_subject": inbox,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "headers_only": self._headers_only,
            "idle_heartbeat": int(HEARTBEAT.total_seconds() * _NANOSECONDS),
            "inactive_threshold": 10 * _NANOSECONDS,
        }
        asked_at = time.monotonic()
        try:
            answer = await self._connection.api(
                f"CONSUMER.CREATE.{self._stream}.{name}.{self._filtered}",
                {"stream_name": self._stream, "config": config},
            )
        except ApiError as error:
            raise Retryable(f"cannot read {self._stream}: {error}") from None
        # What was delivered before the answer was written is not pending any more.
        self.left = int(answer.get("num_pending", 0)) + int(answer.get("delivered", {}).get("consumer_seq", 0))
        if self.left <= 0:
            self.heard_at = asked_at

    async def next(self, *, idle_ends: bool = False) -> Msg | None:
        """The next message; with `idle_ends`, None and `idle` when the server says that there is none now."""
        self.idle = False
        while True:
            try:
                async with asyncio.timeout(2.5 * HEARTBEAT.total_seconds()):
                    arrived_at, message = await self._arrived.get()
            except TimeoutError:
                return None
            if message.reply.startswith("$JS.ACK."):
                at = message.metadata
                if at.sequence.consumer != self._number + 1:
                    return None
                self._number, self.left = at.sequence.consumer, at.num_pending
                if self.left <= 0 and self._arrived.empty():
                    self.heard_at = arrived_at
                return message
            if not self._is_all(message):
                return None
            if idle_ends:
                # Also if more was counted at first: it has been erased meanwhile.
                self.left, self.heard_at, self.idle = 0, arrived_at, True
                return None

    def _is_all(self, heartbeat: Msg) -> bool:
        """Whether the server has sent nothing that was not taken."""
        last = (heartbeat.headers or {}).get("Nats-Last-Consumer")
        return last is not None and int(last) == self._number

    async def _arrive(self, message: Msg) -> None:
        now = time.monotonic()
        if message.reply.startswith("$JS.ACK."):
            self._arrived.put_nowait((now, message))
            return
        if self.left <= 0 and self._is_all(message):
            self.heard_at = now
        # Heartbeats need not pile up behind a reader that takes its time.
        if self._arrived.empty():
            self._arrived.put_nowait((now, message))

    async def close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            await self._connection.end(listening, wait=False)


def parsed_time(stamp: str) -> datetime:
    """RFC 3339 with nanoseconds, which datetime does not read."""
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return at + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
