"""Killed, or failed, at every single step of raising, joining and expiring: afterwards it is as if nothing had been.

Exhaustive where the integration test, with real processes, can only sample.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from overt.errors import Retryable
from overt_alerts.domain import Alert, Part, Tombstone
from support.alerts import DEPLOYMENT, RETENTION, Life, World
from support.evidence import AT, Sighted
from support.faults import Faults, FaultyBus, FaultyKeyring

pytestmark = pytest.mark.unit


class Killed(BaseException):
    """What nothing catches."""


def kill() -> None:
    raise Killed


def fail() -> None:
    raise Retryable("it fails this once")


@contextlib.contextmanager
def telling(when: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(when) from error


def faulty_life(world: World, act: Callable[[], None], at: int | None) -> tuple[Life, Faults]:
    faults = Faults(act, at)
    return Life(world, bus=FaultyBus(world.bus, faults), keyring=FaultyKeyring(world.keyring, faults)), faults


def plan(world: World) -> tuple[Sighted, Sighted, Sighted]:
    """One alert, a sighting that joins it, and another, ambiguous alert that outlives it."""
    first = Sighted(world.public_key)
    return (
        first,
        replace(first, track="stream-2", at=AT + timedelta(seconds=20), seed=2),
        replace(first, entry_id="another", at=AT + timedelta(seconds=30), seed=3, rival="look-alike"),
    )


async def story(world: World, life: Life) -> None:
    """Everything that changes something: what a restart has to go on with, wherever it stopped."""
    *_, other = plan(world)
    if world.clock.now() < AT + timedelta(hours=1):
        await life.take_all()
        world.clock.advance(timedelta(hours=1))
        await world.send(other)
    await life.take_all()
    world.clock.jump(AT + RETENTION + timedelta(minutes=1))
    await life.shelf()
    await life.expiry.expire_due()


async def begun(world: World) -> None:
    await world.prepare()
    first, again, _ = plan(world)
    await world.send(first)
    await world.send(again)


async def check(world: World, life: Life) -> None:
    """The end of the story, however it went."""
    first, _, other = plan(world)
    there = (await life.shelf()).all(world.clock.now())
    assert {type(what) for what in there} == {Alert, Tombstone}
    expired = next(what for what in there if isinstance(what, Tombstone))
    alert = next(what for what in there if isinstance(what, Alert))
    assert len(there) == 2
    assert (expired.alert_id, alert.alert_id) == (first.alert_id, other.alert_id)
    assert world.alert_keys() == [other.alert_id]
    assert await world.stored() == sorted(
        [
            f"{first.alert_id}.tombstone",
            *(f"{other.alert_id}.{part}" for part in ("record.1", *other.pictures)),
        ]
    )
    assert await world.evidence_left() == []
    for part, picture in other.pictures.items():
        assert await life.vault.picture(DEPLOYMENT, other.alert_id, Part(part)) == picture


async def check_tidy(world: World) -> None:
    """What a start alone makes of it, should no evidence ever come again: nothing is left half."""
    life = Life(world)
    shelf = await life.shelf()
    expected = []
    for what in shelf.all(AT):
        if isinstance(what, Tombstone):
            expected.append(f"{what.alert_id}.tombstone")
            continue
        held = shelf.held(what.alert_id)
        assert held is not None
        expected += [f"{what.alert_id}.{part}" for part in (*what.parts, f"record.{held.revision}")]
        for part in what.parts:
            await life.vault.picture(DEPLOYMENT, what.alert_id, part)
    assert await world.stored() == sorted(expected)
    assert world.alert_keys() == sorted(held.alert.alert_id for held in shelf)


async def test_the_story_itself() -> None:
    world = World()
    await begun(world)
    life, faults = faulty_life(world, kill, None)
    await story(world, life)
    await check(world, life)
    assert len(faults.log) >= 40, faults.log


@pytest.mark.parametrize("second", [None, 1, 2, 3, 5, 8])
async def test_killed_at_every_step(second: int | None) -> None:
    """And, with `second`, killed again that many steps into the next life."""
    at = 0
    while True:
        at += 1
        world = World()
        await begun(world)
        life, faults = faulty_life(world, kill, at)
        try:
            await story(world, life)
        except Killed:
            if second is None:
                with telling(f"a start after being killed at step {at}: {faults.log[-1]}"):
                    await check_tidy(world)
            life, _ = faulty_life(world, kill, second)
            try:
                await story(world, life)
            except Killed:
                life = Life(world)
                await story(world, life)
        else:
            assert len(faults.log) < at
            break
        with telling(f"after being killed at step {at}: {faults.log[-1]}"):
            await check(world, life)
            await check(world, Life(world))  # and once more from what is stored
    assert at > 40


async def test_failed_at_every_step() -> None:
    """The process lives on: the consumer delivers again, the expiry tries again."""
    at = 0
    while True:
        at += 1
        world = World()
        await begun(world)
        life, faults = faulty_life(world, fail, at)
        try:
            await story(world, life)
        except Retryable:
            await story(world, life)
        if len(faults.log) < at:
            break
        with telling(f"after a failure at step {at}: {faults.log[at - 1]}"):
            await check(world, life)
            await check(world, Life(world))
    assert at > 40
