"""Replicas of match in one process: everything real but the bus, the keyring, the engine and the time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.crypto import sealing
from overt.errors import Rejected
from overt.subjects import DEPLOYMENTS, LISTS, SEARCH
from overt.testing import FakeClock
from overt.testing.bus import MemoryBus
from overt.testing.index import NumpyIndexes
from overt.testing.stores import MemoryObjectStore
from overt_match.adapters.sealed_snapshot import SealedSnapshot, _open
from overt_match.calibrate_list import CalibrateList
from overt_match.destroy_list import DestroyList
from overt_match.domain import Head
from overt_match.erasure import Erasure
from overt_match.forecast_list import ForecastList
from overt_match.handlers import SearchHandler, Watchlists
from overt_match.import_entries import ImportEntries
from overt_match.in_force import ListsInForce
from overt_match.loading import Loading
from overt_match.ports import ListSecret
from overt_match.remove_entry import RemoveEntry
from overt_match.seal_list import SealList
from overt_match.search import Search
from support.watchlists import AT, DEPLOYMENT, MODEL, MemoryListKeys, deployment, people, search


class Replica:
    """One process of match. `kill` ends its tasks where they are."""

    def __init__(self, bus: MemoryBus, keys: MemoryListKeys, clock: FakeClock) -> None:
        self.indexes = NumpyIndexes()
        self.snapshot = SealedSnapshot(bus)
        self.erasure = Erasure(snapshot=self.snapshot, keys=keys)
        self.lists = ListsInForce(
            deployments=lambda: bus.bucket(DEPLOYMENTS).watch(),
            lists=lambda: bus.bucket(LISTS).watch(),
            loading=Loading(snapshot=self.snapshot, keys=keys, indexes=self.indexes),
            clock=clock,
            on_first_head=self.erasure.want,
        )
        self.rpc = Watchlists(
            import_entries=ImportEntries(snapshot=self.snapshot, keys=keys, lists=self.lists, clock=clock),
            remove_entry=RemoveEntry(snapshot=self.snapshot, lists=self.lists, erasure=self.erasure),
            seal_list=SealList(snapshot=self.snapshot, lists=self.lists),
            destroy_list=DestroyList(snapshot=self.snapshot, erasure=self.erasure),
            calibrate_list=CalibrateList(snapshot=self.snapshot, keys=keys, erasure=self.erasure),
            forecast_list=ForecastList(snapshot=self.snapshot, lists=self.lists),
            snapshot=self.snapshot,
            lists=self.lists,
        )
        self._search = SearchHandler(Search(lists=self.lists, clock=clock))
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        roots = (self.lists.follow_deployments, self.lists.follow_lists, self.lists.load, self.erasure.run)
        self._tasks = [asyncio.create_task(root()) for root in roots]
        await self.lists.caught_up(within=2)

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def search(self, *probes: NDArray[np.float32], **fields: str) -> pb.SearchReply:
        return await self._search(SEARCH.of(DEPLOYMENT), search(*probes, **fields))

    async def answers(self, *probes: NDArray[np.float32], when: Callable[[pb.SearchReply], bool]) -> pb.SearchReply:
        """The first answer that `when` likes; at most 5 s."""
        deadline = time.monotonic() + 5
        while True:
            reply = await self.search(*probes)
            if when(reply) or time.monotonic() > deadline:
                return reply
            await asyncio.sleep(0.01)


class World:
    """A deployment in draft, and as many replicas as are asked for."""

    def __init__(self, bus: MemoryBus, clock: FakeClock) -> None:
        self.bus = bus
        self.clock = clock
        self.keys = MemoryListKeys()
        self.private_key, self.public_key = sealing.generate_key_pair()
        self.replicas: list[Replica] = []
        self.ever_stored: list[tuple[str, bytes]] = []
        """Every object, also what was deleted: in JetStream its bytes stay."""

    async def readable(self) -> set[str]:
        """Whoever can still be read with any secret that is left, in whatever was ever stored."""
        found: set[str] = set()
        for name, sealed in self.ever_stored:
            for generation, secret in self.keys.secrets[DEPLOYMENT].items():
                with contextlib.suppress(Rejected):
                    batch = _open(sealed, DEPLOYMENT, name, ListSecret(secret, generation))
                    found |= {str(e.entry_id) for e in batch.entries}
        return found

    async def replica(self, keys: MemoryListKeys | None = None) -> Replica:
        new = Replica(self.bus.again(), keys or self.keys, self.clock)
        self.replicas.append(new)
        await new.start()
        return new

    async def set(self, state: control.Deployment.State, **fields: object) -> None:
        """As the gateway writes it."""
        bucket = self.bus.bucket(DEPLOYMENTS)
        message = deployment(state, public_key=self.public_key, **fields)  # type: ignore[arg-type]
        found = await bucket.get(DEPLOYMENT)
        if found is None:
            await bucket.create(DEPLOYMENT, message)
        else:
            await bucket.update(DEPLOYMENT, message, found[0])

    async def head(self, replica: Replica) -> Head:
        found = await replica.snapshot.head(DEPLOYMENT)
        assert found is not None
        return found[1]

    async def imported(self, replica: Replica, templates: NDArray[np.float32], **fields: object) -> list[str]:
        """The ids of new entries, one a row."""
        reply = await replica.rpc.Import(
            pb.ImportRequest(
                deployment=DEPLOYMENT,
                model_digest=MODEL,
                entries=people(templates, **fields),  # type: ignore[arg-type]
            ),
            None,
        )
        return list(reply.entry_ids)

    async def active(self, replica: Replica, templates: NDArray[np.float32], **fields: object) -> list[str]:
        """Imported, sealed, started, and heard of by every replica."""
        ids = await self.imported(replica, templates, **fields)
        await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)
        await self.set(control.Deployment.STATE_ACTIVE)
        for one in self.replicas:
            await one.answers(templates[0], when=lambda r: not r.refused)
        return ids


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    bus = MemoryBus()
    await bus.steward.ensure_operation()
    await bus.steward.ensure(DEPLOYMENT)
    made = World(bus, FakeClock(AT))
    await made.set(control.Deployment.STATE_DRAFT)
    put = MemoryObjectStore.put

    async def remembered(self: MemoryObjectStore, name: str, data: bytes) -> None:
        made.ever_stored.append((name, data))
        await put(self, name, data)

    monkeypatch.setattr(MemoryObjectStore, "put", remembered)
    yield made
    for replica in made.replicas:
        await replica.kill()
        await replica.lists.close()
    await bus.close()
