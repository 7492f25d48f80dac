"""A removed entry stops matching at once, everywhere, and its bytes become unreadable, whoever is killed when."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from overt.api.match.v1 import match_pb2 as pb
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt_match.adapters.sealed_snapshot import SealedSnapshot
from overt_match.domain import part_generation
from support.waiting import until
from support.watchlists import DEPLOYMENT, MemoryListKeys, unit

pytestmark = pytest.mark.unit

World = Any
PENDING, NO_MATCH = pb.SearchReply.DECISION_PENDING, pb.SearchReply.DECISION_NO_MATCH


def removing(entry_id: str) -> pb.RemoveRequest:
    return pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=entry_id)


async def test_a_removed_entry_is_out_of_force_everywhere_and_erased(world: World) -> None:
    one, other = await world.replica(), await world.replica()
    templates = unit(20, 1)
    ids = await world.active(one, templates)
    before = await world.head(one)
    reply = await one.rpc.Remove(removing(ids[4]), None)
    for replica in (one, other):
        gone = await replica.answers(templates[4], when=lambda r: r.decision == NO_MATCH)
        assert gone.decision == NO_MATCH
        assert (await replica.search(templates[5])).decision == PENDING
    after = await world.head(one)
    assert (after.size, after.erased, after.to_erase) == (19, 1, frozenset())
    assert (reply.revision, after.generation) == (after.revision, before.generation + 1)
    assert after.digest != before.digest
    assert set(world.keys.secrets[DEPLOYMENT]) == {after.generation}
    assert await world.readable() == set(ids) - {ids[4]}
    assert {part_generation(n) for n in await one.snapshot.names(DEPLOYMENT)} == {after.generation}

    # Once more is nothing more; and what never was there is told.
    assert await one.rpc.Remove(removing(ids[4]), None) == reply
    for unknown in (str(uuid.uuid4()), "no id at all", ""):
        with pytest.raises(Rejected) as refused:
            await one.rpc.Remove(removing(unknown), None)
        assert refused.value.reason is Reason.UNKNOWN_ENTRY
    listed = await one.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)
    assert len(listed.entries) == 19


async def test_a_draft_loses_it_as_well(world: World) -> None:
    replica = await world.replica()
    ids = await world.imported(replica, unit(3, 1))
    await replica.rpc.Remove(removing(ids[1]), None)
    assert await world.readable() == {ids[0], ids[2]}
    listed = await replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)
    assert [e.entry_id for e in listed.entries] == [ids[0], ids[2]]
    # The subject may come again, with another entry.
    await world.imported(replica, unit(1, 2), first=1)
    assert (await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)).size == 3


async def test_the_last_entry_can_go(world: World) -> None:
    replica = await world.replica()
    templates = unit(1, 1)
    ids = await world.active(replica, templates)
    await replica.rpc.Remove(removing(ids[0]), None)
    assert (await replica.search(templates[0])).decision == NO_MATCH
    late = await world.replica()
    assert (await late.answers(templates[0], when=lambda r: not r.refused)).decision == NO_MATCH


async def test_it_is_out_of_force_while_alerts_is_away_and_erased_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overt_match.erasure.WAITS_FOR_ERASURE", 0.05)
    replica = await world.replica()
    templates = unit(5, 1)
    ids = await world.active(replica, templates)
    world.keys.away = True
    await replica.rpc.Remove(removing(ids[0]), None)
    assert (await replica.search(templates[0])).decision == NO_MATCH
    assert (await world.head(replica)).to_erase == {ids[0]}
    # One that starts now has to load the old parts, and leaves it out.
    world.keys.away = False
    late = await world.replica()
    assert (await late.answers(templates[0], when=lambda r: not r.refused)).decision == NO_MATCH

    async def erased() -> bool:
        return not (await world.head(replica)).to_erase and ids[0] not in await world.readable()

    await until(erased)


async def test_it_is_removed_even_where_the_list_cannot_be_loaded(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("overt_match.erasure.WAITS_FOR_ERASURE", 0.05)
    replica = await world.replica()
    templates = unit(5, 1)
    ids = await world.active(replica, templates)
    blind = await world.replica(keys=MemoryListKeys(away=True))
    await blind.rpc.Remove(removing(ids[2]), None)
    gone = await replica.answers(templates[2], when=lambda r: r.decision == NO_MATCH)
    assert gone.decision == NO_MATCH


STEPS = ["rotate", "read", "write", "announce", "confirm", "discard"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_any_step_the_next_life_finishes_it(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    monkeypatch.setattr("overt_match.adapters.sealed_snapshot.PART_BYTES", 1000)
    first = await world.replica()
    templates = unit(6, 1)
    ids = await world.active(first, templates)
    killed = asyncio.Event()
    owner: Any = world.keys if step in ("rotate", "confirm") else first.snapshot
    real = getattr(owner, step)
    calls = 0

    async def dies(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        # The removal itself announces, and the erasure confirms before it rotates: the second is the one meant.
        if calls < {"announce": 2, "confirm": 2}.get(step, 1):
            return await real(*args, **kwargs)
        if after:
            await real(*args, **kwargs)
        killed.set()
        return await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dies, raising=True)
        call = asyncio.create_task(first.rpc.Remove(removing(ids[3]), None))
        await asyncio.wait_for(killed.wait(), 5)
        await first.kill()
        call.cancel()
    world.replicas.remove(first)

    next_life = await world.replica()
    assert (await next_life.answers(templates[3], when=lambda r: not r.refused)).decision == NO_MATCH

    async def erased() -> bool:
        return not (await world.head(next_life)).to_erase and next_life.erasure._idle.is_set()

    await until(erased)
    head = await world.head(next_life)
    assert head.size == 5
    assert await world.readable() == set(ids) - {ids[3]}
    answer = await next_life.answers(templates[0], when=lambda r: not r.refused)
    assert answer.decision == PENDING


async def test_many_removals_at_once_by_two_replicas(world: World) -> None:
    one, other = await world.replica(), await world.replica()
    templates = unit(12, 1)
    ids = await world.active(one, templates)
    gone = ids[:6]
    await asyncio.gather(*((one, other)[i % 2].rpc.Remove(removing(e), None) for i, e in enumerate(gone)))

    async def erased() -> bool:
        head = await world.head(one)
        return not head.to_erase and len(world.keys.secrets[DEPLOYMENT]) == 1

    await until(erased)
    await one.erasure.idle()
    await other.erasure.idle()
    assert await world.readable() == set(ids[6:])
    assert (await world.head(one)).size == 6
    for replica in (one, other):
        for template in templates[:6]:
            assert (await replica.search(template)).decision == NO_MATCH


async def test_a_lost_race_leaves_no_second_copy_under_the_new_secret(world: World, monkeypatch: Any) -> None:
    """The entry that is removed while another removal's parts are being written must not live on in those."""
    one, other = await world.replica(), await world.replica()
    templates = unit(6, 1)
    ids = await world.active(one, templates)
    written = asyncio.Event()
    go_on = asyncio.Event()
    real = SealedSnapshot.write

    async def slow(self: SealedSnapshot, *args: Any) -> Any:
        names = await real(self, *args)
        if self is one.snapshot and not written.is_set():
            written.set()
            await go_on.wait()
        return names

    monkeypatch.setattr(SealedSnapshot, "write", slow)
    first = asyncio.create_task(one.rpc.Remove(removing(ids[0]), None))
    await asyncio.wait_for(written.wait(), 5)
    # Now a part that still holds entry 1 lies in the store under the successor, which will be in force next.
    await other.rpc.Remove(removing(ids[1]), None)
    go_on.set()
    await first
    await one.erasure.idle()
    await other.erasure.idle()
    assert not {ids[0], ids[1]} & await world.readable()
    assert (await world.head(one)).size == 4


async def test_the_store_is_away(world: World) -> None:
    replica = await world.replica()
    ids = await world.active(replica, unit(3, 1))
    world.bus.broker.down()
    with pytest.raises(Retryable):
        await replica.rpc.Remove(removing(ids[0]), None)
    world.bus.broker.up()
    await replica.rpc.Remove(removing(ids[0]), None)
    assert ids[0] not in await world.readable()


async def test_a_removal_while_the_last_erasure_ends_is_erased_too(world: World, monkeypatch: Any) -> None:
    replica = await world.replica()
    ids = await world.active(replica, unit(5, 1))
    ending, go_on = asyncio.Event(), asyncio.Event()
    real = replica.erasure._erase

    async def slow(deployment: str) -> int:
        revision = await real(deployment)
        if not ending.is_set():
            ending.set()
            await go_on.wait()
        return revision

    monkeypatch.setattr(replica.erasure, "_erase", slow)
    first = asyncio.create_task(replica.rpc.Remove(removing(ids[0]), None))
    await asyncio.wait_for(ending.wait(), 5)
    second = asyncio.create_task(replica.rpc.Remove(removing(ids[1]), None))
    await until(lambda: DEPLOYMENT in replica.erasure._wanted)
    go_on.set()
    before, after = await first, await second
    assert after.revision > before.revision
    await replica.erasure.idle()
    assert (await world.head(replica)).to_erase == frozenset()
    assert await world.readable() == set(ids[2:])


async def test_who_asked_before_a_failure_is_told_with_who_asked_after(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr("overt_match.erasure._RETRY_FIRST", 0.01)
    replica = await world.replica()
    failing, go_on = asyncio.Event(), asyncio.Event()

    async def once(deployment: str) -> int:
        if not failing.is_set():
            failing.set()
            await go_on.wait()
            raise Retryable("alerts is away")
        return 7

    monkeypatch.setattr(replica.erasure, "_erase", once)
    before = replica.erasure.want(DEPLOYMENT)
    await asyncio.wait_for(failing.wait(), 5)
    after = replica.erasure.want(DEPLOYMENT)
    assert after is not before
    go_on.set()
    async with asyncio.timeout(5):
        assert (await before, await after) == (7, 7)
        await replica.erasure.idle()


async def test_an_erasure_that_the_end_has_overtaken_is_done(world: World, monkeypatch: Any) -> None:
    """alerts has destroyed every secret: nothing is left to wait for, and a stop does not wait either."""
    monkeypatch.setattr("overt_match.erasure.WAITS_FOR_ERASURE", 0.05)
    monkeypatch.setattr("overt_match.erasure._RETRY_FIRST", 0.01)
    replica = await world.replica()
    ids = await world.active(replica, unit(3, 1))
    world.keys.away = True
    await replica.rpc.Remove(removing(ids[0]), None)
    world.keys.end(DEPLOYMENT)
    world.keys.away = False
    async with asyncio.timeout(5):
        await replica.erasure.idle()
    assert await world.readable() == set()


@pytest.mark.parametrize(
    ("refused", "meant"),
    [
        (Reason.WRONG_STATE, None),
        (Reason.UNKNOWN_DEPLOYMENT, None),
        (Reason.UNKNOWN_KEY, None),
        (Reason.CONFLICT, Retryable),
        (Reason.TOKEN_EXPIRED, Rejected),
        (Reason.NOT_ALLOWED, Rejected),
    ],
)
async def test_only_a_secret_that_is_gone_counts_as_destroyed(
    world: World, monkeypatch: Any, refused: Reason, meant: type[Exception] | None
) -> None:
    replica = await world.replica()
    await world.imported(replica, unit(3, 1))

    async def refuse(deployment: str) -> None:
        raise Rejected(refused, "no")

    monkeypatch.setattr(world.keys, "rotate", refuse)
    destroying = replica.rpc.Destroy(pb.DestroyRequest(deployment=DEPLOYMENT), None)
    if meant is None:
        await destroying
        assert await replica.snapshot.names(DEPLOYMENT) == []
    else:
        with pytest.raises(meant):
            await destroying
        assert await replica.snapshot.names(DEPLOYMENT) != []
