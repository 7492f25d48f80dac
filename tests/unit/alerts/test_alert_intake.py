"""Evidence in, alerts out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt.subjects import ALERT
from overt.telemetry import SpanName, span
from overt.testing.telemetry import recorded_telemetry
from overt_alerts.domain import Alert, Change, Part, Rival
from support.alerts import DEPLOYMENT, RETENTION, Life, State, World
from support.evidence import AT, RIVAL_REF, SUBJECT_REF, Sighted

pytestmark = pytest.mark.unit

PARTS = ("probe", "record.1", "reference", "scene")


@pytest.fixture
async def world() -> World:
    made = World()
    await made.prepare()
    return made


@pytest.fixture
def life(world: World) -> Life:
    return Life(world)


@pytest.fixture
def sighted(world: World) -> Sighted:
    return Sighted(world.public_key)


async def opened(life: Life) -> list[Alert]:
    return [a for a in (await life.shelf()).all(life.world.clock.now()) if isinstance(a, Alert)]


async def test_a_new_alert(world: World, life: Life, sighted: Sighted) -> None:
    await world.send(sighted)
    await life.take_all()
    (alert,) = await opened(life)
    assert (alert.alert_id, alert.card.subject_ref) == (sighted.alert_id, SUBJECT_REF)
    assert alert.raised_at == world.clock.now()
    assert alert.expires_at == world.clock.now() + RETENTION
    assert await world.stored() == [f"{sighted.alert_id}.{part}" for part in PARTS]
    assert world.alert_keys() == [sighted.alert_id]
    assert await world.evidence_left() == [], "the sealed evidence is erased"
    for part, picture in sighted.pictures.items():
        assert await life.vault.picture(DEPLOYMENT, alert.alert_id, Part(part)) == picture


async def test_an_ambiguous_one_keeps_both_entries(world: World, life: Life, sighted: Sighted) -> None:
    ambiguous = replace(sighted, rival="look-alike")
    await world.send(ambiguous)
    # Seen again with nobody as like: what people were shown stays.
    await world.send(replace(sighted, track="stream-2", at=AT + timedelta(seconds=9)))
    await life.take_all()
    (alert,) = await opened(life)
    assert alert.rival == Rival("look-alike", RIVAL_REF, "recall_to_prison", under_18=True)
    assert len(alert.sightings) == 2
    assert await world.stored() == sorted(f"{alert.alert_id}.{part}" for part in ("record.2", *ambiguous.pictures))
    for part, picture in ambiguous.pictures.items():
        assert await life.vault.picture(DEPLOYMENT, alert.alert_id, Part(part)) == picture
    assert await opened(Life(world)) == [alert], "the record says so too"
    world.clock.advance(RETENTION)
    await life.expiry.expire_due()
    assert await world.stored() == [f"{alert.alert_id}.tombstone"]


async def test_the_other_entry_is_shown_where_there_is_one(world: World, life: Life, sighted: Sighted) -> None:
    await world.put(State.STATE_ACTIVE)
    await life.reconciler.begin()
    both = replace(sighted, entry_id="second", track="stream-3", rival="look-alike")
    for one in (sighted, both):
        await world.send(one)
    await life.take_all()
    reading, part = life.reading, Part.RIVAL_REFERENCE
    assert await reading.picture(DEPLOYMENT, both.alert_id, part) == both.rival_reference
    with pytest.raises(Rejected, match="not ambiguous") as refused:
        await reading.picture(DEPLOYMENT, sighted.alert_id, part)
    assert refused.value.reason is Reason.UNKNOWN_ENTRY
    await life.reconciler.close()


async def test_what_is_stored_is_sealed_and_bound_to_its_place(world: World, life: Life, sighted: Sighted) -> None:
    await world.send(sighted)
    await life.take_all()
    kept = {stored.subject.split(".")[4]: stored async for stored in world.bus.latest(ALERT, DEPLOYMENT)}
    for stored in kept.values():
        assert SUBJECT_REF.encode() not in stored.data
        assert b"JFIF" not in stored.data
    # The scene in the probe's place does not open.
    await world.bus.append(kept["probe"].subject, kept["scene"].data)
    with pytest.raises(Rejected):
        await life.vault.picture(DEPLOYMENT, sighted.alert_id, Part.PROBE)


async def test_a_redelivery_changes_nothing(world: World, life: Life, sighted: Sighted) -> None:
    await world.send(sighted)
    await life.take_all()
    before, stored = await opened(life), await world.stored()
    watcher = (await life.shelf()).watch(only_new=True)
    for _ in range(3):
        await world.send(sighted)
    await life.take_all()
    assert (await opened(life), await world.stored()) == (before, stored)
    assert await world.evidence_left() == []
    watcher.end()
    assert [c async for c in watcher.changes()] == []


async def test_within_the_cooldown_it_joins(world: World, life: Life, sighted: Sighted) -> None:
    again = replace(sighted, track="stream-2", camera="yard", at=AT + timedelta(seconds=59), seed=2)
    await world.send(sighted)
    await life.take_all()
    watcher = (await life.shelf()).watch(only_new=True)
    await world.send(again)
    await world.send(again)
    await life.take_all()
    (alert,) = await opened(life)
    assert alert.alert_id == sighted.alert_id
    assert [s.camera for s in alert.sightings] == ["gate", "yard"]
    assert await world.stored() == [f"{sighted.alert_id}.{p}" for p in ("probe", "record.2", "reference", "scene")]
    assert await life.vault.picture(DEPLOYMENT, alert.alert_id, Part.PROBE) == sighted.probe, "no new pictures"
    assert await world.evidence_left() == []
    watcher.end()
    assert [c.change async for c in watcher.changes()] == [Change.SIGHTED_AGAIN]


@pytest.mark.parametrize(
    "other", [{"at": AT + timedelta(seconds=61), "track": "stream-2"}, {"entry_id": "somebody-else"}]
)
async def test_otherwise_it_is_a_new_alert(
    world: World, life: Life, sighted: Sighted, other: dict[str, object]
) -> None:
    await world.send(sighted)
    await world.send(replace(sighted, **other))  # type: ignore[arg-type]  # names of its own fields
    await life.take_all()
    assert len(await opened(life)) == 2
    assert len(world.alert_keys()) == 2


async def test_many_at_once_of_one_entry_are_one_alert(world: World, life: Life, sighted: Sighted) -> None:
    for n in range(8):
        await world.send(replace(sighted, track=f"stream-{n}", at=AT + timedelta(seconds=n)))
    shelf = await life.shelf()
    await asyncio.gather(*(life.intake.take(shelf, delivery) for delivery in world.waiting))
    (alert,) = await opened(life)
    assert len(alert.sightings) == 8


async def test_poison_is_rejected_and_erased_once_it_is_buried(world: World, life: Life, sighted: Sighted) -> None:
    await world.send_bytes(sighted.subject, b"poison")
    with pytest.raises(Rejected) as info:
        await life.intake.take(await life.shelf(), world.waiting[0])
    assert info.value.reason is Reason.BAD_MESSAGE
    assert await world.evidence_left() == [sighted.subject], "its dead letter comes first"
    await life.intake.buried(await life.shelf(), world.waiting[0])
    assert await world.evidence_left() == []
    assert await opened(life) == []


async def test_once_the_sealing_key_is_gone_nothing_can_be_opened(world: World, life: Life, sighted: Sighted) -> None:
    await world.send(sighted)
    await life.custody.destroy_sealing_key(DEPLOYMENT)
    with pytest.raises(Rejected):
        await life.take_all()
    assert (await world.evidence_left(), await world.stored()) == ([], [])


async def test_the_trace_of_the_frame_goes_on(world: World, sighted: Sighted) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with recorded_telemetry() as recorded:
        await world.put(State.STATE_ACTIVE)
        life = Life(world)
        await life.reconciler.begin()
        with span(SpanName.EVIDENCE_SEND, parent=parent):
            await world.send(sighted)
        watcher = (await life.shelf()).watch()
        changes = watcher.changes()
        change = await anext(changes)
        await life.reconciler.close()
        await changes.aclose()
    raised = next(s for s in recorded.spans if s.name == "alerts.raise")
    assert f"{raised.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert isinstance(change.what, Alert)
    assert change.what.traceparent.split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
