"""A key-value bucket on its stream: `$KV.BUCKET.KEY` in `KV_BUCKET`, as every NATS client lays it out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from nats.aio.msg import Msg

from overt.bus.connection import ApiError, Connection
from overt.bus.port import Change, Payload
from overt.bus.streams import WRONG_REVISION, Cursor, newest
from overt.bus.wire import checked_key, encoded
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import Bucket, Service
from overt.telemetry import get_logger

log = get_logger(__name__)

_OPERATION: Final = "KV-Operation"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_TIMEOUT: Final = timedelta(seconds=5)
_AGAIN_SECONDS: Final = 0.5


def bucket_stream(bucket: Bucket) -> str:
    return f"KV_{bucket.name}"


def bucket_subjects(bucket: Bucket, *, writer: Service | None = None) -> str:
    """Of every key, or of those that this writer may write."""
    return f"$KV.{bucket.name}.{writer.value}.>" if writer and bucket.own_keys else f"$KV.{bucket.name}.>"


class NatsKeyValue:
    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = bucket_stream(bucket)
        self._prefix = f"$KV.{bucket.name}."

    async def get(self, key: str) -> tuple[int, bytes] | None:
        found = await self._newest(key)
        return None if found is None or found[1] is None else (found[0], found[1])

    async def create(self, key: str, value: Payload) -> int:
        found = await self._newest(key)
        if found is not None and found[1] is not None:
            raise _conflict()
        # After a deletion its marker is the newest revision.
        return await self._put(key, encoded(value), 0 if found is None else found[0])

    async def update(self, key: str, value: Payload, revision: int) -> int:
        return await self._put(key, encoded(value), revision)

    async def delete(self, key: str, revision: int) -> None:
        await self._put(key, b"", revision, {_OPERATION: "DEL"})

    def watch(self) -> NatsWatch:
        return NatsWatch(Cursor(self._connection, self._stream, bucket_subjects(self._bucket)), self._prefix)

    async def _newest(self, key: str) -> tuple[int, bytes | None] | None:
        found = await newest(self._connection, self._stream, self._prefix + checked_key(key))
        if found is None:
            return None
        stored, headers = found
        return stored.sequence, None if _deleted(headers) else stored.data

    async def _put(self, key: str, value: bytes, revision: int, headers: dict[str, str] | None = None) -> int:
        try:
            return await self._connection.store(
                self._prefix + checked_key(key),
                value,
                {_EXPECTED: str(revision), **(headers or {})},
                timeout=_TIMEOUT,
            )
        except ApiError as error:
            if error.code in WRONG_REVISION:
                raise _conflict() from None
            raise Retryable(f"{self._stream} does not take this value: {error}") from None


@dataclass(frozen=True, slots=True)
class _Shown:
    """The message that was yielded of a key last. In a store that was rebuilt another one has its number, at
    another time."""

    sequence: int
    stored_at: datetime
    deleted: bool


class NatsWatch:
    def __init__(self, cursor: Cursor, prefix: str) -> None:
        self._cursor = cursor
        self._prefix = prefix
        self._open = False
        self._closed = False
        self._told = False
        self._initial_done = False
        self._shown: dict[str, _Shown] = {}
        # Of what was shown, what has not been seen again since the cursor began anew; and how things stood before.
        self._missing: set[str] = set()
        self._heard_at = cursor.heard_at

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while not self._closed:
            if not self._open:
                await self._reopen()
            elif self._cursor.left > 0 or (self._initial_done and not self._missing):
                message = await self._cursor.next(idle_ends=self._cursor.left > 0)
                if message is None:
                    self._open = self._cursor.idle
                elif change := self._change(message):
                    return change
            elif self._missing:
                # The store is not the one that it was, and has no such key.
                key = self._missing.pop()
                if not self._shown.pop(key).deleted:
                    return Change(key=key, value=None, revision=0, initial_done=self._initial_done)
            else:
                self._initial_done = True
                return Change(key="", value=None, revision=0, initial_done=True)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True
        await self._cursor.close()

    @property
    def heard_ago(self) -> timedelta:
        at = self._heard_at if self._missing else self._cursor.heard_at
        return timedelta(seconds=time.monotonic() - at)

    def _change(self, message: Msg) -> Change | None:
        """None for what was yielded before."""
        key, at, deleted = message.subject.removeprefix(self._prefix), message.metadata, _deleted(message.headers)
        self._missing.discard(key)
        shown = _Shown(at.sequence.stream, at.timestamp, deleted)
        if self._shown.get(key) == shown:
            return None
        self._shown[key] = shown
        return Change(
            key=key,
            value=None if deleted else message.data,
            revision=shown.sequence,
            initial_done=self._initial_done,
        )

    async def _reopen(self) -> None:
        if not self._missing:
            self._heard_at = self._cursor.heard_at
        try:
            await self._cursor.open()
        except Retryable:
            if not self._told:
                log.warning("bus_watch_waits", bucket=self._prefix)
                self._told = True
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            self._missing = set(self._shown)
            self._open = True
            self._told = False


def _deleted(headers: Mapping[str, str] | None) -> bool:
    """A marker: of a deletion by a client, or of one by the server."""
    return headers is not None and (_OPERATION in headers or "Nats-Marker-Reason" in headers)


def _conflict() -> Rejected:
    return Rejected(Reason.CONFLICT, "somebody else has changed it meanwhile: read it again")
