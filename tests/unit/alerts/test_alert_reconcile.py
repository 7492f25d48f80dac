"""What the control plane wants is what is there, whatever it takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from overt.bus import Redelivery
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import DEAD, DEPLOYMENTS, LEDGER
from overt.testing.bus import MemoryBus
from overt.testing.keyring import MemoryKeyring
from overt_alerts.domain import MAX_RETENTION, Alert
from support.alerts import DEPLOYMENT, LINGER, Life, State, World
from support.evidence import AT, Sighted
from support.faults import Faults, FaultyBus, FaultyKeyring
from support.waiting import until

pytestmark = pytest.mark.unit


@pytest.fixture
async def world() -> World:
    made = World()
    await made.prepare()
    return made


@contextlib.asynccontextmanager
async def running(life: Life) -> AsyncIterator[Life]:
    """As in the service: begun, then its root task."""
    await life.reconciler.begin()
    task = asyncio.create_task(life.reconciler.run())
    try:
        yield life
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await life.reconciler.close()


def list_secrets(world: World) -> list[str]:
    return [k for k in world.keyring.ids() if "/list/" in k]


async def objects_gone(world: World) -> bool:
    try:
        return await world.bus.objects(DEPLOYMENT).names() == []
    except Retryable:
        return True


async def test_a_new_deployment_is_followed(world: World) -> None:
    async with running(Life(world)) as life:
        await world.put(State.STATE_DRAFT)
        await until(lambda: life.board.get(DEPLOYMENT) is not None)
        await world.put(State.STATE_ACTIVE, retention=timedelta(days=90))
        await until(lambda: life.board.get(DEPLOYMENT).keep_for == MAX_RETENTION)  # type: ignore[union-attr]  # there
        await world.send(Sighted(world.public_key))
        await until(lambda: bool(world.alert_keys()))
        await until(lambda: any(isinstance(a, Alert) for a in life.board.get(DEPLOYMENT).all(AT)))  # type: ignore[union-attr]  # there


async def test_who_asks_before_the_watch_has_come_to_it(world: World) -> None:
    life = Life(world)
    with pytest.raises(Rejected) as info:
        await life.reconciler.shelf(DEPLOYMENT)
    assert info.value.reason is Reason.UNKNOWN_DEPLOYMENT
    await world.put(State.STATE_DRAFT)
    assert await life.reading.all(DEPLOYMENT) == []
    await life.reconciler.close()


async def test_the_end_destroys_the_list_and_not_the_alerts(world: World) -> None:
    await world.put(State.STATE_ACTIVE)
    await world.bus.objects(DEPLOYMENT).put("part-1", b"sealed")
    async with running(Life(world)) as life:
        await life.keys.rotate(DEPLOYMENT)
        assert len(list_secrets(world)) == 2
        await world.send(Sighted(world.public_key))
        await until(lambda: len(world.alert_keys()) == 1)
        await world.put(State.STATE_ENDED)
        await until(lambda: list_secrets(world) == [])
        await until(lambda: objects_gone(world))
        late = Sighted(world.public_key, entry_id="late")
        await world.send(late)
        shelf = await life.reconciler.shelf(DEPLOYMENT)
        await until(lambda: shelf.held(late.alert_id) is not None)
        assert len(world.alert_keys()) == 2
        assert await life.reading.one(DEPLOYMENT, late.alert_id)


async def test_ended_while_it_was_down(world: World) -> None:
    await world.put(State.STATE_ENDED)
    async with running(Life(world)):
        assert list_secrets(world) == [], "before the door opens"


@pytest.mark.parametrize("at", range(1, 7))
async def test_killed_while_ending(world: World, at: int) -> None:
    await world.bus.objects(DEPLOYMENT).put("part-1", b"sealed")
    await world.put(State.STATE_ENDED)

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    faults = Faults(kill, at)
    life = Life(world, bus=FaultyBus(world.bus, faults), keyring=FaultyKeyring(world.keyring, faults))
    with contextlib.suppress(Killed):
        await life.reconciler.begin()
    async with running(Life(world)):
        assert list_secrets(world) == []
        assert await objects_gone(world)


class NoObjects(Faults):
    """The bus refuses to delete the list's objects."""

    def step(self, what: str) -> None:
        if what == "before delete objects":
            raise Retryable("the bus is away")


async def test_the_secret_does_not_wait_for_the_bus(world: World) -> None:
    await world.bus.objects(DEPLOYMENT).put("part-1", b"sealed")
    await world.put(State.STATE_ENDED)
    faults = NoObjects(lambda: None)
    async with running(Life(world, bus=FaultyBus(world.bus, faults))):
        assert list_secrets(world) == []
        assert not await objects_gone(world)
    async with running(Life(world)):
        assert await objects_gone(world)


async def test_what_failed_is_tried_again(world: World) -> None:
    def fail() -> None:
        raise Retryable("this once")

    await world.put(State.STATE_ENDED)
    faults = Faults(fail, 3)
    life = Life(world, bus=FaultyBus(world.bus, faults), keyring=FaultyKeyring(world.keyring, faults))
    async with running(life):
        await until(lambda: life.board.get(DEPLOYMENT) is not None)
        assert await objects_gone(world)


async def test_the_sealing_key_goes_once_nothing_can_arrive(world: World) -> None:
    await world.put(State.STATE_ENDED)
    life = Life(world)
    await life.reconciler.begin()
    assert await life.reconciler.retire(DEPLOYMENT) == LINGER
    world.clock.advance(LINGER - timedelta(seconds=1))
    assert await life.reconciler.retire(DEPLOYMENT) == timedelta(seconds=1)
    await life.reconciler.close()
    await world.send(Sighted(world.public_key))
    world.clock.advance(timedelta(seconds=1))
    assert await life.reconciler.retire(DEPLOYMENT), "evidence waits to be taken in"
    await life.take_all()
    assert await life.reconciler.retire(DEPLOYMENT) is None
    assert not [k for k in world.keyring.ids() if k.endswith("/sealing")]
    assert len(world.alert_keys()) == 1
    # The next life finds everything as it should be.
    again = Life(world)
    await again.reconciler.begin()
    assert len(await again.reading.all(DEPLOYMENT)) == 1
    await again.reconciler.close()


async def test_purged_leaves_no_key_and_no_stream(world: World) -> None:
    await world.put(State.STATE_ACTIVE)
    async with running(Life(world)) as life:
        await world.send(Sighted(world.public_key))
        shelf = await life.reconciler.shelf(DEPLOYMENT)
        # Its key is there before it is.
        await until(lambda: len(list(shelf)) == 1)
        watcher = life.board.watch(shelf, only_new=True)
        await world.put(State.STATE_PURGED)
        assert [c async for c in watcher.changes()] == []
        await until(lambda: world.keyring.ids() == ())
        with pytest.raises(Rejected):
            await life.reading.all(DEPLOYMENT)
        await until(lambda: _no_stream(world))
        assert await world.bus.last(LEDGER, DEPLOYMENT, LEDGER.of(DEPLOYMENT, "gate")) is None, "there, and empty"


async def _no_stream(world: World) -> bool:
    try:
        await world.stored()
    except Retryable:
        return True
    return False


async def test_another_keyring_touches_nothing(world: World) -> None:
    """An empty directory mounted by mistake must not look like keys that were all destroyed."""
    await world.put(State.STATE_ACTIVE)
    life = Life(world)
    await world.send(Sighted(world.public_key))
    await life.take_all()
    stored = await world.stored()
    right, world.keyring = world.keyring, MemoryKeyring()
    async with running(Life(world)) as wrong:
        with pytest.raises(Retryable):
            await wrong.reading.all(DEPLOYMENT)
    assert await world.stored() == stored
    world.keyring = right
    async with running(Life(world)) as again:
        assert len(await again.reading.all(DEPLOYMENT)) == 1


async def test_a_deployment_in_trouble_does_not_hold_up_another(world: World) -> None:
    life = Life(world)
    await world.bus.bucket(DEPLOYMENTS).create("broken", b"\xff\xff not a deployment")
    await world.put(State.STATE_ACTIVE, "without-keys")
    await world.put(State.STATE_ACTIVE)
    async with running(life):
        assert [s.deployment for s in life.board] == [DEPLOYMENT]
        await life.keys.prepare("without-keys")
        await until(lambda: life.board.get("without-keys") is not None)


async def test_once_ended_always_ended(world: World) -> None:
    """A replica of the bucket that is behind says it is active again."""
    await world.put(State.STATE_ENDED)
    async with running(Life(world)) as life:
        await world.put(State.STATE_ACTIVE)
        with pytest.raises(Rejected) as info:
            await life.keys.list_secret(DEPLOYMENT)
        assert info.value.reason is Reason.WRONG_STATE


@pytest.mark.parametrize("trouble", [Rejected(Reason.BAD_MESSAGE, "poison"), ValueError("a defect")])
async def test_what_is_given_up_leaves_a_letter_and_no_evidence(trouble: Exception) -> None:
    """Sealed evidence that nobody erases would stay for a day, and the private sealing key with it."""
    world = World(bus=MemoryBus(redelivery=Redelivery(first=timedelta(milliseconds=1), most=2)))
    await world.prepare()
    await world.put(State.STATE_ACTIVE)
    life = Life(world)

    async def take(*_: object) -> None:
        raise trouble

    life.intake.take = take  # type: ignore[method-assign]
    async with running(life):
        await world.send(Sighted(world.public_key))

        async def erased() -> bool:
            return await world.evidence_left() == []

        await until(erased)
        assert len([letter async for letter in world.bus.latest(DEAD, DEPLOYMENT)]) == 1
