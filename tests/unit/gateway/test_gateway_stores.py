"""The record of deployments and the ledger: the fake and the one on the bus keep the same words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from overt.api.ingest.v1 import ingest_pb2
from overt.errors import Rejected
from overt.ledger import Book, CameraAccount
from overt.ledger.wire import to_receipt
from overt.subjects import DEPLOYMENTS, LEDGER, STATUS
from overt.testing import FakeClock
from overt.testing.bus import MemoryBus
from overt_gateway.adapters.bus import BusDeployments, BusLedgers, listen_to_cameras
from overt_gateway.adapters.wire import to_deployment
from overt_gateway.domain import Camera, Deployment, State
from overt_gateway.ports import CameraState, Deployments, Sight
from overt_gateway.sights import Sights
from overt_gateway.testing import MemoryDeployments
from support.waiting import until

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def deployment(name: str, minutes: int = 0, state: State = State.DRAFT) -> Deployment:
    return Deployment(
        deployment_id=name,
        name=name,
        state=state,
        starts_at=NOW,
        ends_at=NOW + timedelta(hours=1),
        cameras=(Camera("gate", "Gate"),),
        threshold=0.5,
        alert_retention=timedelta(days=1),
        sealing_public_key=bytes(32),
        created_at=NOW + timedelta(minutes=minutes),
        created_by="x",
    )


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    await bus.steward.ensure_operation()
    yield bus
    await bus.close()


@pytest.fixture(params=["memory", "bus"])
async def store(request: pytest.FixtureRequest, bus: MemoryBus, clock: FakeClock) -> AsyncIterator[Deployments]:
    if request.param == "memory":
        yield MemoryDeployments()
        return
    found = BusDeployments(bus, Sights(clock))
    following = asyncio.create_task(found.follow())
    await asyncio.wait_for(found.until_ready(), 5)
    yield found
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_what_is_stored_is_read_at_once(store: Deployments) -> None:
    assert await store.get("a") is None
    assert list(await store.all()) == []
    made = await store.create(deployment("a"))
    assert await store.get("a") == made
    await store.create(deployment("b", minutes=5))
    assert [v.deployment.deployment_id for v in await store.all()] == ["b", "a"]
    changed = await store.replace(deployment("a", state=State.ENDED), made.revision)
    assert changed.revision > made.revision
    assert await store.get("a") == changed
    assert [v.deployment.state for v in await store.all()] == [State.DRAFT, State.ENDED]


async def test_races_are_lost_by_the_second(store: Deployments) -> None:
    made = await store.create(deployment("a"))
    with pytest.raises(Rejected) as refused:
        await store.create(deployment("a"))
    assert refused.value.reason == "conflict"
    await store.replace(deployment("a"), made.revision)
    with pytest.raises(Rejected) as refused:
        await store.replace(deployment("a"), made.revision)
    assert refused.value.reason == "conflict"


async def test_another_gateways_writes_are_followed(bus: MemoryBus, clock: FakeClock) -> None:
    sights = Sights(clock)
    mine = BusDeployments(bus, sights)
    following = asyncio.create_task(mine.follow())
    await asyncio.wait_for(mine.until_ready(), 5)
    other = BusDeployments(bus, Sights(clock))
    made = await other.create(deployment("a", state=State.ACTIVE))
    await until(lambda: "a" in mine._known)
    sights.note("a", "gate", CameraState(Sight.SEEING))
    await other.replace(deployment("a", state=State.ENDED), made.revision)
    await until(lambda: mine._known["a"].deployment.state is State.ENDED)
    assert not sights._heard, "what is over is forgotten"
    # A record that cannot be read stops nothing.
    await bus.bucket(DEPLOYMENTS).create("bad", b"\xff\xff\xff")
    await other.create(deployment("c"))
    await until(lambda: "c" in mine._known)
    assert "bad" not in mine._known
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_late_echo_of_the_watch_does_not_undo_a_write(bus: MemoryBus, clock: FakeClock) -> None:
    store = BusDeployments(bus, Sights(clock))
    made = await store.create(deployment("a"))
    newer = await store.replace(deployment("a", state=State.ENDED), made.revision)
    store._note("a", to_deployment(made.deployment).SerializeToString(), made.revision)
    assert store._known["a"] == newer


async def test_the_ledger_is_merged_over_epochs_and_cameras(bus: MemoryBus) -> None:
    await bus.steward.ensure("market")
    ledgers = BusLedgers(bus)
    empty = await ledgers.read("market")
    assert (empty["frames_in"], empty["final"], empty["conserved"], empty["cameras"]) == (0, False, True, {})
    for camera, epoch, number, frames, final in [
        ("gate", "e1", 1, 3, False),
        ("gate", "e1", 2, 10, True),
        ("gate", "e2", 1, 5, True),
        ("west", "e2", 1, 7, False),
    ]:
        book = Book(entered=frames, destroyed={"no_match": frames})
        account = CameraAccount("market", camera, epoch, number, NOW, NOW, frames=book, final=final)
        await bus.append(LEDGER.of("market", camera, epoch), to_receipt(account))
    found = await ledgers.read("market")
    assert (found["frames_in"], found["conserved"], found["final"]) == (22, True, False)
    assert found["cameras"]["gate"]["frames_in"] == 15
    assert found["cameras"]["gate"]["final"] is True
    assert found["cameras"]["west"]["final"] is False


async def test_a_ledger_that_cannot_be_read_does_not_look_balanced(bus: MemoryBus) -> None:
    await bus.steward.ensure("market")
    await bus.append(LEDGER.of("market", "gate", "e1"), b"\xff\xff")
    with pytest.raises(RuntimeError):
        await BusLedgers(bus).read("market")


async def test_cameras_are_heard(bus: MemoryBus, clock: FakeClock) -> None:
    sights = Sights(clock)
    heard = await listen_to_cameras(bus, sights)
    message = ingest_pb2.CameraStatus(deployment="a", camera="gate", sight=ingest_pb2.CameraStatus.SIGHT_BLIND)
    await bus.publish(STATUS.of("a", "gate"), message)
    active = deployment("a", state=State.ACTIVE)
    await until(lambda: sights.state_of(active, "gate").reason == "")
    assert sights.state_of(active, "gate").sight is Sight.BLIND
    await heard.close()
