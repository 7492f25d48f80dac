"""The record of a list: sealed parts in the deployment's object store, the head in the bucket `lists`.

A part is a serialised ListPart under AES-256-GCM with the list secret, bound to deployment, name and generation: it
cannot stand in for another part, another list's, or one from before a removal. The cohort in force is a part of its
own: the file as it came, sealed and bound likewise.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError
from overt.api.match.v1 import match_pb2 as pb
from overt.bus import Bus
from overt.crypto import aead
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import DEPLOYMENTS, LISTS

from overt_match import wire
from overt_match.domain import Batch, Deployment, Head, part_name
from overt_match.ports import ListSecret

PART_BYTES = 1 << 20
"""Of a part before sealing, about: small enough to open between two searches, large enough to be few."""


class SealedSnapshot:
    """See `Snapshot`. Opening and sealing run in threads."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def deployment(self, deployment: str) -> Deployment:
        """As the store has it now, which a watch may not have told yet. Rejected(UNKNOWN_DEPLOYMENT)."""
        found = await self._bus.bucket(DEPLOYMENTS).get(deployment)
        if found is None:
            raise Rejected(Reason.UNKNOWN_DEPLOYMENT, "there is no such deployment")
        return wire.deployment_from(found[1])

    async def head(self, deployment: str) -> tuple[int, Head] | None:
        found = await self._bus.bucket(LISTS).get(deployment)
        return None if found is None else (found[0], wire.head_from(found[1]))

    async def announce(self, deployment: str, head: Head, replaces: int | None) -> None:
        bucket, value = self._bus.bucket(LISTS), wire.head_to(head)
        if replaces is None:
            await bucket.create(deployment, value)
        else:
            await bucket.update(deployment, value, replaces)

    async def write(self, deployment: str, batch: Batch, secret: ListSecret) -> tuple[str, ...]:
        store, written = self._bus.objects(deployment), list[str]()
        for entries in _packed(wire.entries_of(batch)):
            name = part_name(secret.generation, uuid.uuid4().hex)
            part = pb.ListPart(deployment=deployment, name=name, entries=entries)
            await store.put(name, await asyncio.to_thread(_seal, part, secret))
            written.append(name)
        return tuple(written)

    async def read(self, deployment: str, name: str, secret: ListSecret) -> Batch:
        sealed = await self._stored(deployment, name)
        return await asyncio.to_thread(_open, sealed, deployment, name, secret)

    async def write_cohort(self, deployment: str, content: bytes, secret: ListSecret) -> str:
        name = part_name(secret.generation, uuid.uuid4().hex)
        bound_to = _cohort_binding(deployment, name, secret.generation)
        sealed = await asyncio.to_thread(aead.encrypt, secret.secret, content, bound_to=bound_to)
        await self._bus.objects(deployment).put(name, sealed)
        return name

    async def read_cohort(self, deployment: str, name: str, secret: ListSecret) -> bytes:
        bound_to = _cohort_binding(deployment, name, secret.generation)
        sealed = await self._stored(deployment, name)
        return await asyncio.to_thread(aead.decrypt, secret.secret, sealed, bound_to=bound_to)

    async def discard(self, deployment: str, names: Sequence[str]) -> None:
        store = self._bus.objects(deployment)
        for name in names:
            try:
                await store.delete(name)
            except Retryable:
                return  # Hidden garbage under a dead secret; the deployment's end removes the store.

    async def names(self, deployment: str) -> list[str]:
        return await self._bus.objects(deployment).names()

    async def _stored(self, deployment: str, name: str) -> bytes:
        sealed = await self._bus.objects(deployment).get(name)
        if sealed is None:
            raise Rejected(Reason.BAD_MESSAGE, "a part of the list is not in the store")
        return sealed


def _packed(entries: Iterator[pb.Entry]) -> Iterator[list[pb.Entry]]:
    part: list[pb.Entry] = []
    size = 0
    for entry in entries:
        if part and size + entry.ByteSize() > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.ByteSize()
    if part:
        yield part


def _binding(deployment: str, name: str, generation: int) -> bytes:
    return f"overt/list/{deployment}/{name}/{generation}".encode()


def _cohort_binding(deployment: str, name: str, generation: int) -> bytes:
    """Another one than a part's: neither can stand in for the other."""
    return f"overt/cohort/{deployment}/{name}/{generation}".encode()


def _seal(part: pb.ListPart, secret: ListSecret) -> bytes:
    bound_to = _binding(part.deployment, part.name, secret.generation)
    return aead.encrypt(secret.secret, part.SerializeToString(), bound_to=bound_to)


def _open(sealed: bytes, deployment: str, name: str, secret: ListSecret) -> Batch:
    plain = aead.decrypt(secret.secret, sealed, bound_to=_binding(deployment, name, secret.generation))
    try:
        part = pb.ListPart.FromString(plain)
    except DecodeError:
        raise Rejected(Reason.BAD_MESSAGE, "a part of the list does not parse") from None
    return wire.batch_from(part.entries)
