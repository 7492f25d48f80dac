"""kill -9 at seeded moments, a life after another: no acknowledged alert is lost, none is there twice, nothing is
left half. (Every single step is gone through in memory, in tests/unit/alerts; here everything is real.)"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc.aio
import pytest
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.crypto import FileKeyring
from overt.subjects import ALERT, Service
from support.alerts_process import AlertsProcess
from support.evidence import Sighted
from support.waiting import until

pytestmark = pytest.mark.integration

LIVES = 10
SEED = 20260501
# Two new alerts and a sighting that joins are about 45 steps, so that most lives end in the middle of something.
MOST_STEPS = 45


async def note_raised(service: AlertsProcess, deployment: str, raised: set[str]) -> None:
    """Everything that anybody was ever told of: the alerts that must not get lost."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        async with service.alerts() as alerts:
            async for event in alerts.Watch(pb.WatchRequest(deployment=deployment)):
                raised.add(event.alert.alert_id)


async def test_no_acknowledged_alert_is_lost_and_none_doubled(service: AlertsProcess) -> None:
    chance = random.Random(SEED)
    await service.start()
    public = await service.prepare("killed")
    await service.put("killed")
    await service.stop()

    base = Sighted(public, deployment="killed", at=datetime.now(UTC))
    sent: list[Sighted] = []
    raised: set[str] = set()
    killed = 0
    for life in range(LIVES):
        first = replace(base, entry_id=f"entry-{life}-a", seed=2 * life + 1)
        second = replace(base, entry_id=f"entry-{life}-b", seed=2 * life + 2)
        again = replace(first, track="stream-2", at=base.at + timedelta(seconds=20))
        sent += [first, second, again]
        await service.start(kill_at=chance.randint(1, MOST_STEPS))
        watching = asyncio.create_task(note_raised(service, "killed", raised))
        await service.send(first, second, again)
        # It ends itself; or it has come to the end of its work before, and is ended here.
        for _ in range(100):
            if not service.is_alive or await service.is_taken_in(first, again):
                break
            await asyncio.sleep(0.02)
        killed += service.was_killed
        service.kill()
        await watching

    await service.start(kill_at=0)
    await until(lambda: service.is_taken_in(*sent), seconds=20)
    alerts = await service.listed("killed")
    by_id = {a.alert_id: a for a in alerts}
    assert killed > LIVES / 2, "the faults were meant to hit"
    assert len(by_id) == len(alerts) == 2 * LIVES
    assert raised <= by_id.keys()
    for one in sent:
        holders = [a for a in alerts if a.entry_id == one.entry_id]
        assert len(holders) == 1
    sightings = [s.evidence_id for a in alerts for s in a.sightings]
    assert len(sightings) == len(set(sightings)) == len(sent), "every sighting once"

    async with service.alerts() as stub:
        parts = pb.GetEvidenceRequest
        for one in sent:
            if one.alert_id not in by_id:
                continue  # it joined
            got = [
                (await stub.GetEvidence(parts(deployment="killed", alert_id=one.alert_id, part=part))).jpeg
                for part in (parts.PART_PROBE, parts.PART_REFERENCE, parts.PART_SCENE)
            ]
            assert got == [one.probe, one.reference, one.scene]
    async with service.bus(Service.ALERTS) as bus:
        stored = [s.subject async for s in bus.latest(ALERT, "killed")]
    assert len(stored) == 4 * len(alerts), "three pictures and one record each"
    assert await service.stop() == 0
    ring = FileKeyring(service.data_dir / "keyring")
    assert {k.rpartition("/")[2] for k in ring.ids("alert/killed/")} == by_id.keys()
    ring.close()


async def test_killed_while_they_expire(service: AlertsProcess) -> None:
    chance = random.Random(SEED + 1)
    await service.start()
    public = await service.prepare("expiring")
    await service.put("expiring", retention=timedelta(seconds=0.3))
    await service.stop()
    base = Sighted(public, deployment="expiring", at=datetime.now(UTC))
    sent, killed = [], 0
    for life in range(5):
        one = replace(base, entry_id=f"entry-{life}", seed=life + 1)
        sent.append(one)
        # Raising takes 14 steps, expiring 14 more.
        await service.start(kill_at=chance.randint(12, 28))
        await service.send(one)
        for _ in range(100):
            if not service.is_alive:
                break
            await asyncio.sleep(0.02)
        killed += service.was_killed
        service.kill()
    assert killed >= 3, "the faults were meant to hit"

    await service.start(kill_at=0)

    async def all_expired() -> bool:
        states = [a.state for a in await service.listed("expiring")]
        return states == [pb.Alert.STATE_EXPIRED] * len(sent)

    await until(all_expired, seconds=20)
    await until(lambda: service.is_taken_in(*sent))
    subjects = [ALERT.of("expiring", one.alert_id, part) for one in sent for part in ("probe", "scene", "record.1")]
    async with service.bus(Service.ALERTS) as bus:

        async def erased() -> bool:
            return not any([await bus.last(ALERT, "expiring", subject) for subject in subjects])

        await until(erased)
    assert {a.alert_id for a in await service.listed("expiring")} == {one.alert_id for one in sent}
    assert await service.stop() == 0
    ring = FileKeyring(service.data_dir / "keyring")
    assert ring.ids("alert/expiring/") == ()
    ring.close()
