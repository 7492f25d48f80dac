"""A deployment's object store: chunks on `$O.BUCKET.C.ID.N`, and one description on `$O.BUCKET.M.NAME`.

Like the object store of other NATS clients, but with a subject for every chunk, so that each is read with a
subject-scoped direct get and dropped by storing nothing on its subject: match may read and write its list without
any permission on streams or consumers that others use.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

from overt.bus.connection import ApiError, Connection
from overt.bus.streams import newest, subjects_of
from overt.bus.wire import checked_key
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import list_objects_bucket

CHUNK_BYTES: Final = 128 * 1024
_AT_ONCE: Final = 8
_TIMEOUT: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Description:
    name: str
    id: str
    size: int
    chunks: int
    digest: str


def object_stream(deployment: str) -> str:
    return f"OBJ_{list_objects_bucket(deployment)}"


def object_subjects(deployment: str) -> list[str]:
    bucket = list_objects_bucket(deployment)
    return [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"]


class NatsObjectStore:
    def __init__(self, connection: Connection, deployment: str) -> None:
        self._connection = connection
        self._stream = object_stream(deployment)
        self._chunks, self._described = (s.removesuffix(">") for s in object_subjects(deployment))

    async def put(self, name: str, data: bytes) -> None:
        before = await self._description(name)
        pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        new = _Description(
            name=name,
            # New for every put: a reader never mixes an old object's chunks with a new one's.
            id=secrets.token_hex(12),
            size=len(data),
            chunks=len(pieces),
            digest=sha256(data).hexdigest(),
        )
        try:
            await _bounded(lambda i: self._store(self._chunk(new, i), pieces[i]), len(pieces))
            await self._store(self._meta(name), json.dumps(asdict(new)).encode())
        except BaseException:
            await self._drop_quietly(new)
            raise
        if before is not None:
            await self._drop_quietly(before)

    async def get(self, name: str) -> bytes | None:
        description = await self._description(name)
        if description is None:
            return None
        pieces = [b""] * description.chunks

        async def fetch(number: int) -> None:
            found = await newest(self._connection, self._stream, self._chunk(description, number))
            pieces[number] = b"" if found is None else found[0].data

        await _bounded(fetch, description.chunks)
        data = b"".join(pieces)
        if sha256(data).hexdigest() != description.digest:
            again = await self._description(name)
            if again is None or again.id != description.id:
                raise Retryable("the object was replaced while it was read")
            raise Rejected(Reason.BAD_MESSAGE, "the stored object is not what was put")
        return data

    async def names(self) -> list[str]:
        subjects = await subjects_of(self._connection, self._stream, self._described + ">")
        found = await asyncio.gather(*(self._described_at(subject) for subject in subjects))
        return sorted(d.name for d in found if d is not None)

    async def delete(self, name: str) -> None:
        description = await self._description(name)
        if description is not None:
            await self._store(self._meta(name), b"")
            await self._drop(description)

    def _meta(self, name: str) -> str:
        return self._described + base64.urlsafe_b64encode(checked_key(name).encode()).decode()

    def _chunk(self, description: _Description, number: int) -> str:
        return f"{self._chunks}{description.id}.{number}"

    async def _description(self, name: str) -> _Description | None:
        return await self._described_at(self._meta(name))

    async def _described_at(self, subject: str) -> _Description | None:
        found = await newest(self._connection, self._stream, subject)
        if found is None or not found[0].data:
            return None
        try:
            return _Description(**json.loads(found[0].data))
        except (TypeError, ValueError):
            raise Rejected(Reason.BAD_MESSAGE, "the stored object has no readable description") from None

    async def _store(self, subject: str, data: bytes) -> None:
        try:
            await self._connection.store(subject, data, timeout=_TIMEOUT)
        except ApiError as error:
            raise Retryable(f"{self._stream} does not take this object: {error}") from None

    async def _drop(self, description: _Description) -> None:
        """The stream keeps one message a subject: storing nothing takes the chunk out of reach and gives its room
        back. Its bytes leave the disk with the whole stream."""
        await _bounded(lambda i: self._store(self._chunk(description, i), b""), description.chunks)

    async def _drop_quietly(self, description: _Description) -> None:
        """Costs room until the stream is purged, if it fails."""
        try:
            await self._drop(description)
        except (Retryable, Rejected):
            pass


async def _bounded(job: Callable[[int], Awaitable[None]], times: int) -> None:
    """job(0) .. job(times - 1), a few at once."""
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await job(number)

    workers = [asyncio.ensure_future(work()) for _ in range(min(times, _AT_ONCE))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
