"""The keys of a deployment and the generations of its list secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from overt.crypto import sealing
from overt.errors import Rejected
from overt.ids import sealing_key_id
from overt.reasons import Reason
from overt.subjects import ALERT, EVIDENCE
from overt_alerts.keys import Keys, ListSecret
from support.alerts import DEPLOYMENT, Life, State, World

pytestmark = pytest.mark.unit


@pytest.fixture
async def world() -> World:
    made = World()
    await made.prepare()
    return made


@pytest.fixture
def keys(world: World) -> Keys:
    return Life(world).keys


async def refused(call: Awaitable[object]) -> Reason:
    with pytest.raises(Rejected) as info:
        await call
    return info.value.reason


async def test_prepare_is_idempotent(world: World, keys: Keys) -> None:
    before = world.keyring.ids()
    secret = await keys.list_secret(DEPLOYMENT)
    assert await keys.prepare(DEPLOYMENT) == world.public_key
    assert (world.keyring.ids(), await keys.list_secret(DEPLOYMENT)) == (before, secret)
    private = world.keyring.get(sealing_key_id(DEPLOYMENT))
    assert sealing.unseal(private, sealing.seal(world.public_key, b"it fits")) == b"it fits"


async def test_prepare_makes_the_streams(world: World) -> None:
    for spec in (ALERT, EVIDENCE):
        assert await world.bus.last(spec, DEPLOYMENT, spec.of(DEPLOYMENT, "x")) is None, "there, and empty"


async def test_the_first_secret(keys: Keys) -> None:
    given = await keys.list_secret(DEPLOYMENT)
    assert (given.generation, len(given.secret)) == (1, 32)
    assert await keys.list_secret(DEPLOYMENT, 1) == given
    assert given.secret.hex() not in repr(given)
    assert "secret" not in repr(given)


async def test_a_rotation(world: World, keys: Keys) -> None:
    first = await keys.list_secret(DEPLOYMENT)
    second = await keys.rotate(DEPLOYMENT)
    assert second.generation == 2
    assert second.secret != first.secret
    # Until it is confirmed both can be had: match reads under one what it seals under the other.
    assert await keys.list_secret(DEPLOYMENT) == first, "the newest that is confirmed"
    assert [await keys.list_secret(DEPLOYMENT, g) for g in (1, 2)] == [first, second]
    assert await keys.rotate(DEPLOYMENT) == second, "asked again, the same one"
    for _ in range(2):
        await keys.confirm(DEPLOYMENT, 2)
    assert await keys.list_secret(DEPLOYMENT) == second
    assert await refused(keys.list_secret(DEPLOYMENT, 1)) is Reason.UNKNOWN_KEY
    assert (await keys.rotate(DEPLOYMENT)).generation == 3


@pytest.mark.parametrize("generation", [0, 1, 3])
async def test_only_the_newest_can_be_confirmed(keys: Keys, generation: int) -> None:
    await keys.rotate(DEPLOYMENT)
    assert await refused(keys.confirm(DEPLOYMENT, generation)) is Reason.CONFLICT
    assert (await keys.list_secret(DEPLOYMENT)).generation == 1


CALLS: list[Callable[[Keys], Awaitable[object]]] = [
    lambda keys: keys.list_secret(DEPLOYMENT),
    lambda keys: keys.rotate(DEPLOYMENT),
    lambda keys: keys.confirm(DEPLOYMENT, 1),
    lambda keys: keys.prepare(DEPLOYMENT),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", [State.STATE_ENDED, State.STATE_PURGED])
async def test_not_once_it_has_ended(
    world: World, keys: Keys, call: Callable[[Keys], Awaitable[object]], state: State.State.ValueType
) -> None:
    """Whether or not the reconciler has come to it."""
    await world.put(state)
    before = world.keyring.ids()
    assert await refused(call(keys)) is Reason.WRONG_STATE
    assert world.keyring.ids() == before


@pytest.mark.parametrize(
    "state", [State.STATE_DRAFT, State.STATE_AUTHORISED, State.STATE_ACTIVE, State.STATE_SUSPENDED]
)
async def test_in_any_other_state(world: World, keys: Keys, state: State.State.ValueType) -> None:
    await world.put(state)
    assert isinstance(await keys.list_secret(DEPLOYMENT), ListSecret)


async def test_an_unknown_deployment(keys: Keys) -> None:
    assert await refused(keys.list_secret("elsewhere")) is Reason.UNKNOWN_DEPLOYMENT


@pytest.mark.parametrize("bad", ["", "UPPER", "a.b", "a*", ">", "../x", "x" * 41])
async def test_ids_that_could_climb_out_of_a_subject(keys: Keys, bad: str) -> None:
    assert await refused(keys.prepare(bad)) is Reason.BAD_FIELD
    assert await refused(keys.list_secret(bad)) is Reason.BAD_FIELD
