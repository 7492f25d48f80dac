"""The alerts service as a process: evidence in over NATS, alerts out over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc.aio
import pytest
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.control.v1 import control_pb2
from overt.errors import Rejected, Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt.rpc import to_overt_error
from overt.subjects import ALERT, DEAD, Service
from support.alerts_process import AlertsProcess
from support.evidence import RIVAL_REF, SUBJECT_REF, Sighted, jpeg
from support.waiting import until

pytestmark = pytest.mark.integration

PARTS = (
    pb.GetEvidenceRequest.PART_PROBE,
    pb.GetEvidenceRequest.PART_REFERENCE,
    pb.GetEvidenceRequest.PART_SCENE,
    pb.GetEvidenceRequest.PART_RIVAL_REFERENCE,
)


async def refused(call: Awaitable[object]) -> Reason:
    with pytest.raises(grpc.aio.AioRpcError) as info:
        await call
    error = to_overt_error(info.value)
    assert isinstance(error, Rejected), error
    return error.reason


async def test_from_evidence_to_alert(service: AlertsProcess) -> None:
    await service.start()
    public = await service.prepare("market")
    assert public == await service.prepare("market")
    await service.put("market")
    first = Sighted(public, at=datetime.now(UTC), rival="6b0e7c1c-9a43-4d0e-8a35-222222222222")
    again = replace(first, track="stream-2", camera="yard", at=first.at + timedelta(seconds=30), seed=2)
    async with service.alerts() as alerts:
        watches = [alerts.Watch(pb.WatchRequest(deployment="market")) for _ in range(2)]
        await service.send(first)
        for watch in watches:
            event = await watch.read()
            assert event.kind == pb.AlertEvent.KIND_RAISED
            assert (event.alert.alert_id, event.alert.subject_ref) == (first.alert_id, SUBJECT_REF)
            assert (event.alert.rival.entry_id, event.alert.rival.subject_ref) == (first.rival, RIVAL_REF)
            assert event.alert.state == pb.Alert.STATE_OPEN
            assert event.alert.expires_at.seconds - event.alert.raised_at.seconds == 3600

        pictures = [
            (await alerts.GetEvidence(pb.GetEvidenceRequest(deployment="market", alert_id=first.alert_id, part=p))).jpeg
            for p in PARTS
        ]
        assert pictures == list(first.pictures.values())

        # A redelivery (not recognised by JetStream's own window) changes nothing; a sighting joins.
        await service.send(first, first, again, first, again)
        for watch in watches:
            event = await watch.read()
            assert event.kind == pb.AlertEvent.KIND_SIGHTED_AGAIN
            assert [s.camera for s in event.alert.sightings] == ["gate", "yard"]
        await until(lambda: service.is_taken_in(first, again))
        async with service.bus(Service.ALERTS) as bus:
            assert len([s async for s in bus.latest(ALERT, "market")]) == 5
        (listed,) = await service.listed("market")
        got = await alerts.Get(pb.GetRequest(deployment="market", alert_id=first.alert_id))
        assert listed == got == event.alert

    # The same after a restart, and a watcher is told what is there.
    assert await service.stop() == 0, service.log
    await service.start()
    assert await service.listed("market") == [listed]
    async with service.alerts() as alerts:
        watch = alerts.Watch(pb.WatchRequest(deployment="market"))
        assert (await watch.read()).alert == listed
    for secret in (SUBJECT_REF, RIVAL_REF, first.entry_id, first.rival, "warrant", "JFIF"):
        assert secret not in service.log


async def test_who_asks_wrongly_is_told_why(service: AlertsProcess) -> None:
    await service.start()
    await service.prepare("station")
    await service.put("station")
    async with service.alerts() as alerts, service.keys() as keys, service.keys(Role.SERVICE_MATCH) as match:
        unknown = "00000000-0000-5000-8000-000000000000"
        for call, reason in (
            (alerts.List(pb.ListRequest(deployment="nowhere")), Reason.UNKNOWN_DEPLOYMENT),
            (alerts.Get(pb.GetRequest(deployment="nowhere", alert_id=unknown)), Reason.UNKNOWN_DEPLOYMENT),
            (alerts.Get(pb.GetRequest(deployment="station", alert_id=unknown)), Reason.UNKNOWN_ALERT),
            (alerts.Get(pb.GetRequest(deployment="station", alert_id="*.record")), Reason.UNKNOWN_ALERT),
            (
                alerts.GetEvidence(pb.GetEvidenceRequest(deployment="station", alert_id=unknown)),
                Reason.BAD_FIELD,
            ),
            (alerts.List(pb.ListRequest(deployment="st*tion")), Reason.BAD_FIELD),
            (alerts.Watch(pb.WatchRequest(deployment="nowhere")).read(), Reason.UNKNOWN_DEPLOYMENT),
            (keys.GetListSecret(pb.GetListSecretRequest(deployment="station")), Reason.NOT_ALLOWED),
            (match.Prepare(pb.PrepareRequest(deployment="station")), Reason.NOT_ALLOWED),
            (match.GetListSecret(pb.GetListSecretRequest(deployment="nowhere")), Reason.UNKNOWN_DEPLOYMENT),
        ):
            assert await refused(call) is reason
        secret = await match.GetListSecret(pb.GetListSecretRequest(deployment="station"))
        assert (len(secret.secret), secret.generation) == (32, 1)
        await service.put("station", control_pb2.Deployment.STATE_ENDED)
        assert await refused(match.GetListSecret(pb.GetListSecretRequest(deployment="station"))) is Reason.WRONG_STATE
    async with service.alerts(Role.SERVICE_MATCH) as alerts:
        assert await refused(alerts.List(pb.ListRequest(deployment="station"))) is Reason.NOT_ALLOWED


async def test_poison_goes_to_the_dead_letters_and_nothing_stops(service: AlertsProcess) -> None:
    await service.start()
    public = await service.prepare("poisoned")
    await service.put("poisoned")
    good = Sighted(public, deployment="poisoned")
    async with service.bus(Service.INGEST) as ingest:
        await ingest.append(good.subject, b"poison" + jpeg(9))
        await ingest.append(good.subject, good.message(Sighted(public, deployment="poisoned", track="x").evidence()))
    await service.send(good)

    async def raised() -> bool:
        return len(await service.listed("poisoned")) == 1

    await until(raised)
    async with service.bus(Service.ALERTS) as bus:
        letter = await bus.last(DEAD, "poisoned", DEAD.of("poisoned", "evidence", "gate"))
        assert letter is not None
        assert b"bad_message" in letter.data
        assert len(letter.data) < 500
    await until(lambda: service.is_taken_in(good))


async def test_an_alert_that_expires_in_seconds(service: AlertsProcess) -> None:
    await service.start()
    public = await service.prepare("short")
    await service.put("short", retention=timedelta(seconds=1.5))
    sighted = Sighted(public, deployment="short", at=datetime.now(UTC))
    async with service.alerts() as alerts:
        watch = alerts.Watch(pb.WatchRequest(deployment="short"))
        await service.send(sighted)
        raised = await watch.read()
        async with asyncio.timeout(10):
            expired = await watch.read()
        late = time.time() - raised.alert.expires_at.ToDatetime(tzinfo=UTC).timestamp()
        assert expired.kind == pb.AlertEvent.KIND_EXPIRED
        assert 0 <= late < 1
        assert expired.alert == pb.Alert(
            alert_id=sighted.alert_id,
            deployment="short",
            state=pb.Alert.STATE_EXPIRED,
            first_captured_at=raised.alert.first_captured_at,
            raised_at=raised.alert.raised_at,
            expires_at=raised.alert.expires_at,
        )
        where = {"deployment": "short", "alert_id": sighted.alert_id}
        assert await refused(alerts.Get(pb.GetRequest(**where))) is Reason.EXPIRED
        for part in PARTS:
            assert await refused(alerts.GetEvidence(pb.GetEvidenceRequest(**where, part=part))) is Reason.EXPIRED
        assert await service.listed("short") == [expired.alert]

    # What expires while the service is down is caught up with at the next start.
    later = replace(sighted, entry_id="another")
    await service.send(later)

    async def there() -> bool:
        return any(a.alert_id == later.alert_id for a in await service.listed("short"))

    await until(there)
    service.kill()
    await asyncio.sleep(1.6)
    await service.start()
    assert [a.state for a in await service.listed("short")] == [pb.Alert.STATE_EXPIRED] * 2
    async with service.bus(Service.ALERTS) as bus:

        async def erased() -> bool:
            parts = ("probe", "reference", "scene", "record.1")
            subjects = [ALERT.of("short", a, p) for a in (sighted.alert_id, later.alert_id) for p in parts]
            return not any([await bus.last(ALERT, "short", subject) for subject in subjects])

        await until(erased)
        left = [s.subject.rpartition(".")[2] async for s in bus.latest(ALERT, "short")]
        assert left == ["tombstone"] * 2


async def test_sigterm_ends_watches_and_the_process(service: AlertsProcess) -> None:
    await service.start()
    await service.prepare("ending")
    await service.put("ending")
    async with service.alerts() as alerts:
        watch = alerts.Watch(pb.WatchRequest(deployment="ending"))
        reading = asyncio.ensure_future(watch.read())
        await asyncio.sleep(0.2)
        assert not reading.done()
        began = time.monotonic()
        code = await service.stop()
        with pytest.raises(grpc.aio.AioRpcError) as info:
            await reading
        assert isinstance(to_overt_error(info.value), Retryable)
    assert (code, time.monotonic() - began < 5) == (0, True), service.log


async def test_nats_away_for_a_while(service: AlertsProcess) -> None:
    await service.start()
    public = await service.prepare("patient")
    await service.put("patient")
    sighted = Sighted(public, deployment="patient")
    await service.send(sighted)

    async def raised(count: int) -> bool:
        return len(await service.listed("patient")) == count

    await until(lambda: raised(1))
    service.nats.kill()
    assert await raised(1), "what is in memory is still told"
    service.nats.start()

    async def sent() -> bool:
        try:
            await service.send(replace(sighted, entry_id="another"))
        except Retryable:
            return False
        return True

    await until(sent)
    await until(lambda: raised(2), seconds=20)
    assert service.is_alive


async def test_a_data_directory_that_cannot_be_written(service: AlertsProcess) -> None:
    service.data_dir.parent.mkdir(exist_ok=True)
    service.data_dir.write_text("a file is in the way")
    service.launch()
    assert await service.end() == 2
    assert "OVERT_DATA_DIR" in service.log
    assert "Traceback" not in service.log
