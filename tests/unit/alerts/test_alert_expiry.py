"""At its time an alert's key dies, whatever else is broken."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import ALERT
from overt_alerts.domain import Alert, Change, Part, Tombstone
from support.alerts import DEPLOYMENT, RETENTION, Life, State, World
from support.evidence import AT, Sighted
from support.waiting import until

pytestmark = pytest.mark.unit


@pytest.fixture
async def world() -> World:
    made = World()
    await made.prepare()
    await made.put(State.STATE_ACTIVE)
    await made.send(Sighted(made.public_key))
    return made


@pytest.fixture
async def life(world: World) -> Life:
    made = Life(world)
    await made.take_all()
    return made


async def test_it_ends_at_its_time(world: World, life: Life) -> None:
    sighted = Sighted(world.public_key)
    watcher = (await life.shelf()).watch()
    changes = watcher.changes()
    assert (await anext(changes)).change is Change.RAISED
    world.clock.advance(RETENTION - timedelta(milliseconds=1))
    await life.expiry.expire_due()
    assert world.alert_keys() == [sighted.alert_id]

    world.clock.advance(timedelta(milliseconds=1))
    await life.expiry.expire_due()
    change = await anext(changes)
    await changes.aclose()
    assert change.change is Change.EXPIRED
    assert isinstance(change.what, Tombstone)
    assert (change.what.alert_id, change.what.first_captured_at) == (sighted.alert_id, AT)
    assert world.alert_keys() == []
    assert await world.stored() == [f"{sighted.alert_id}.tombstone"]
    tombstone = await world.bus.last(ALERT, DEPLOYMENT, ALERT.of(DEPLOYMENT, sighted.alert_id, "tombstone"))
    assert tombstone is not None
    for secret in (sighted.subject_ref, sighted.entry_id, "gate", "JFIF"):
        assert secret.encode() not in tombstone.data


async def test_from_that_moment_nothing_is_given_out(world: World, life: Life) -> None:
    """Even before the task that destroys the key has come to it."""
    sighted = Sighted(world.public_key)
    world.clock.advance(RETENTION)
    for ask in (
        lambda: life.reading.one(DEPLOYMENT, sighted.alert_id),
        lambda: life.reading.picture(DEPLOYMENT, sighted.alert_id, Part.PROBE),
    ):
        with pytest.raises(Rejected) as info:
            await ask()
        assert info.value.reason is Reason.EXPIRED
    (shown,) = await life.reading.all(DEPLOYMENT)
    assert isinstance(shown, Tombstone)


async def test_the_key_does_not_wait_for_the_bus(world: World, life: Life) -> None:
    world.clock.advance(RETENTION)
    world.bus.broker.down()
    with pytest.raises(Retryable):
        await life.expiry.expire_due()
    assert world.alert_keys() == []
    world.bus.broker.up()
    assert len(await world.stored()) == 4, "unreadable, but there"
    await life.expiry.expire_due()
    assert await world.stored() == [f"{Sighted(world.public_key).alert_id}.tombstone"]


async def test_what_expired_during_an_absence(world: World, life: Life) -> None:
    world.clock.advance(RETENTION * 2)
    reborn = Life(world)
    await reborn.reconciler.begin()
    await reborn.expiry.expire_due()
    assert world.alert_keys() == []
    (left,) = await reborn.reading.all(DEPLOYMENT)
    assert isinstance(left, Tombstone)
    assert left.first_captured_at == AT


async def test_expired_evidence_does_not_come_back_to_life(world: World, life: Life) -> None:
    sighted = Sighted(world.public_key)
    joined = replace(sighted, track="stream-2", at=AT + timedelta(seconds=9))
    await world.send(joined)
    await life.take_all()
    world.clock.advance(RETENTION)
    await life.expiry.expire_due()
    for again in (life, Life(world)):
        await world.send(sighted)
        await world.send(joined)
        await again.take_all()
        assert [type(a) for a in (await again.shelf()).all(world.clock.now())] == [Tombstone]
        assert await world.evidence_left() == []


async def test_the_task_wakes_by_itself(world: World, life: Life) -> None:
    """With the wall clock standing still until told, so nothing but the wake-up can be late."""
    task = asyncio.create_task(life.expiry.run())
    try:
        await asyncio.sleep(0)
        world.clock.advance(RETENTION - timedelta(seconds=1))
        # A new alert wakes the task; it finds how long to wait and then that the time has come.
        await world.send(replace(Sighted(world.public_key), entry_id="another"))
        await life.take_all()
        world.clock.advance(timedelta(seconds=1))
        await until(lambda: len(world.alert_keys()) == 1)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    shown = (await life.shelf()).all(world.clock.now())
    assert [type(a) for a in shown] == [Tombstone, Alert]


@pytest.mark.parametrize("turns", range(5))
async def test_it_ends_when_it_is_told_to_in_the_turn_in_which_an_alert_arrives(life: Life, turns: int) -> None:
    """asyncio.wait_for lost the cancellation there, about once in 300 stops, and the service had to be cut off."""
    running = asyncio.create_task(life.expiry.run())
    await asyncio.sleep(0.01)
    life.board.changed.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=2)
    running.cancel()
    assert done
