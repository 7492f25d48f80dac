"""Buckets, objects and the steward of MemoryBus."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

from overt.bus.access import LIST_KEEPER, STEWARD
from overt.bus.kv import bucket_stream
from overt.bus.objects import object_stream
from overt.bus.port import Change, Payload
from overt.bus.steward import deployment_streams, operation_streams
from overt.bus.wire import checked_key, encoded
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import Bucket, StreamSubject
from overt.testing.broker import Kept, MemoryConnection, MemoryStream


class MemoryKeyValue:
    def __init__(self, connection: MemoryConnection, bucket: Bucket) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = bucket_stream(bucket)

    async def get(self, key: str) -> tuple[int, bytes] | None:
        self._connection.check_among(self._bucket.readers, self._stream)
        found = self._connection.stream(self._stream).newest(checked_key(key))
        return None if found is None or found.deleted else (found.stored.sequence, found.stored.data)

    async def create(self, key: str, value: Payload) -> int:
        found = self._connection.stream(self._stream).newest(checked_key(key))
        if found is not None and not found.deleted:
            raise Rejected(Reason.CONFLICT, "somebody else has changed it meanwhile: read it again")
        return await self.update(key, value, found.stored.sequence if found else 0)

    async def update(self, key: str, value: Payload, revision: int) -> int:
        return self._put(key, encoded(value), revision, deleted=False)

    async def delete(self, key: str, revision: int) -> None:
        self._put(key, b"", revision, deleted=True)

    def watch(self) -> MemoryWatch:
        return MemoryWatch(self._connection, self._bucket)

    def _put(self, key: str, value: bytes, revision: int, *, deleted: bool) -> int:
        self._connection.check_among(self._bucket.writers_of(key), self._stream)
        stream = self._connection.stream(self._stream)
        return stream.append(checked_key(key), value, expected=revision, deleted=deleted)


class MemoryWatch:
    def __init__(self, connection: MemoryConnection, bucket: Bucket) -> None:
        self._connection = connection
        self._bucket = bucket
        self._news: deque[Change] = deque()
        self._shown: dict[str, Kept] = {}
        self._initial_done = False
        self._closed = False
        self._heard_at = time.monotonic()

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while not self._closed:
            if self._news:
                return self._news.popleft()
            try:
                self._connection.check_among(self._bucket.readers, self._bucket.name)
                stream = self._connection.stream(bucket_stream(self._bucket))
            except Retryable:
                await asyncio.sleep(0.02)
                continue
            self._news.extend(self._changes(stream))
            if self._news:
                continue
            self._heard_at = time.monotonic()
            if not self._initial_done:
                self._initial_done = True
                return Change(key="", value=None, revision=0, initial_done=True)
            try:
                async with asyncio.timeout(0.5):
                    await stream.changed.wait()
            except TimeoutError:
                pass
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._closed = True

    @property
    def heard_ago(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._heard_at)

    def _changes(self, stream: MemoryStream) -> Iterator[Change]:
        """Between what was shown and what is there, which may be another store's."""
        there = {kept.stored.subject: kept for kept in stream.newest_of_every()}
        for key, kept in there.items():
            if self._shown.get(key) is not kept:
                value = None if kept.deleted else kept.stored.data
                yield Change(key, value, kept.stored.sequence, initial_done=self._initial_done)
        for key, kept in self._shown.items():
            if key not in there and not kept.deleted:
                yield Change(key, None, 0, initial_done=self._initial_done)
        self._shown = there


class MemoryObjectStore:
    def __init__(self, connection: MemoryConnection, deployment: str) -> None:
        self._connection = connection
        self._stream = object_stream(deployment)

    async def put(self, name: str, data: bytes) -> None:
        self._objects()[checked_key(name)] = bytes(data)

    async def get(self, name: str) -> bytes | None:
        return self._objects().get(checked_key(name))

    async def names(self) -> list[str]:
        return sorted(self._objects())

    async def delete(self, name: str) -> None:
        self._objects().pop(checked_key(name), None)

    def _objects(self) -> dict[str, bytes]:
        self._connection.check_among(frozenset({LIST_KEEPER}), "$O.list")
        self._connection.stream(self._stream)
        return self._connection.broker.objects.setdefault(self._stream, {})


class MemorySteward:
    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection

    async def ensure_operation(self) -> None:
        for config in operation_streams():
            self._streams().setdefault(config["name"], MemoryStream(config))

    async def ensure(self, deployment: str) -> None:
        for config in deployment_streams(deployment):
            self._streams().setdefault(config["name"], MemoryStream(config))

    async def purge_stream(self, spec: StreamSubject, deployment: str) -> None:
        if stream := self._streams().get(spec.stream(deployment)):
            stream.purge()

    async def delete_stream(self, spec: StreamSubject, deployment: str) -> None:
        if stream := self._streams().pop(spec.stream(deployment), None):
            stream.purge()

    async def delete_objects(self, deployment: str) -> None:
        self._streams().pop(object_stream(deployment), None)
        self._connection.broker.objects.pop(object_stream(deployment), None)

    async def erase(self, spec: StreamSubject, deployment: str, sequence: int) -> None:
        if stream := self._streams().get(spec.stream(deployment)):
            stream.remove(sequence)

    def _streams(self) -> dict[str, MemoryStream]:
        self._connection.check_among(frozenset({STEWARD}), "STORE.STREAM")
        return self._connection.broker.streams
