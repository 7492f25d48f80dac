"""What is kept: appended once, delivered at least once, given up only with a record, erased when told."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from overt.api.alerts.v1.alerts_pb2 import SealedEvidence
from overt.bus import Bus, Delivery
from overt.errors import Fatal, Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import ALERT, DEAD, EVIDENCE, LEDGER, MAX_MESSAGE_BYTES, Service
from overt.telemetry import SpanName, span
from overt.testing.telemetry import recorded_telemetry

pytestmark = pytest.mark.contract

Until = Callable[..., Awaitable[None]]
SUBJECT = EVIDENCE.of("dep-1", "cam")


async def _dead(alerts: Bus) -> list[dict[str, Any]]:
    return [json.loads(s.data) async for s in alerts.latest(DEAD, "dep-1")]


async def test_append_tells_the_sequence_and_stores_a_message_id_once(ingest: Bus, ready: str) -> None:
    assert await ingest.append(SUBJECT, SealedEvidence(alert_id="a"), message_id="a-1") == 1
    assert await ingest.append(SUBJECT, SealedEvidence(alert_id="a"), message_id="a-1") == 1
    assert await ingest.append(SUBJECT, b"bytes", message_id="a-2") == 2
    assert await ingest.append(SUBJECT, b"bytes") == 3


async def test_append_without_a_stream_is_retryable(ingest: Bus, ready: str) -> None:
    with pytest.raises(Retryable):
        await ingest.append(EVIDENCE.of("other", "cam"), b"x")


async def test_append_refuses_what_is_too_large(ingest: Bus, ready: str) -> None:
    with pytest.raises(Rejected) as caught:
        await ingest.append(SUBJECT, bytes(MAX_MESSAGE_BYTES + 1))
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE
    assert await ingest.append(SUBJECT, bytes(MAX_MESSAGE_BYTES)) == 1


async def test_a_full_stream_tells_its_writer(ingest: Bus, ready: str) -> None:
    async def fill() -> None:
        for n in range(LEDGER.max_bytes // MAX_MESSAGE_BYTES + 1):
            await ingest.append(LEDGER.of("dep-1", "cam", f"e{n}"), bytes(MAX_MESSAGE_BYTES))

    with pytest.raises(Retryable):
        await fill()


async def test_consumer_gets_everything_from_where_it_left_off(
    ingest: Bus, alerts: Bus, ready: str, until: Until
) -> None:
    got: list[Delivery] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery)

    await ingest.append(SUBJECT, b"before")
    consumer = await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(EVIDENCE.of("dep-1", "other"), b"during")
    await until(lambda: len(got) == 2)
    await consumer.close()
    await ingest.append(SUBJECT, b"meanwhile")
    again = await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await until(lambda: len(got) == 3)
    await again.close()
    assert [(d.subject, d.data, d.sequence, d.redeliveries) for d in got] == [
        (SUBJECT, b"before", 1, 0),
        (EVIDENCE.of("dep-1", "other"), b"during", 2, 0),
        (SUBJECT, b"meanwhile", 3, 0),
    ]


async def test_retryable_comes_again_later(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    at: list[float] = []
    counts: list[int] = []

    async def handler(delivery: Delivery) -> None:
        at.append(asyncio.get_running_loop().time())
        counts.append(delivery.redeliveries)
        if delivery.redeliveries < 2:
            raise Retryable("not yet")

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"x")
    await until(lambda: len(counts) == 3)
    assert counts == [0, 1, 2]
    assert at[1] - at[0] >= 0.055
    assert at[2] - at[1] >= 0.11
    await asyncio.sleep(0.4)
    assert len(counts) == 3
    assert await _dead(alerts) == []


async def test_rejected_leaves_a_record_without_the_payload(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    calls: list[int] = []

    async def handler(delivery: Delivery) -> None:
        calls.append(delivery.sequence)
        if delivery.data == b"poison-payload":
            raise Rejected(Reason.BAD_MESSAGE, "not evidence: poison-payload")

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"poison-payload")
    await ingest.append(SUBJECT, b"fine")
    await until(lambda: len(calls) == 2)

    async def recorded() -> bool:
        return len(await _dead(alerts)) == 1

    await until(recorded)
    stored = await alerts.last(DEAD, "dep-1", "overt.dead.dep-1.evidence.cam")
    assert stored is not None
    assert b"poison-payload" not in stored.data
    letter = json.loads(stored.data)
    assert abs(datetime.fromisoformat(letter.pop("at")) - datetime.now(UTC)) < timedelta(seconds=10)
    assert letter == {"subject": SUBJECT, "sequence": 1, "redeliveries": 0, "reason": "bad_message"}
    await asyncio.sleep(0.4)
    assert calls == [1, 2]


async def test_what_is_retryable_is_never_given_up(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    """Twice as often as a defect would be tried: a store may be away for long."""
    calls: list[int] = []

    async def handler(delivery: Delivery) -> None:
        calls.append(delivery.redeliveries)
        if len(calls) < 8:
            raise Retryable("away")

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"x")
    await until(lambda: len(calls) == 8)
    assert await _dead(alerts) == []


async def test_patience_with_a_defect_ends_with_a_record(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    calls: list[int] = []

    async def handler(delivery: Delivery) -> None:
        calls.append(delivery.redeliveries)
        raise ValueError("a defect with a name in it")

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"x")

    async def recorded() -> bool:
        return len(await _dead(alerts)) == 1

    await until(recorded)
    assert calls == [0, 1, 2, 3]
    (letter,) = await _dead(alerts)
    assert letter["reason"] == "retries_exhausted"
    assert letter["redeliveries"] == 3


async def test_the_service_ends_where_it_cannot_go_on_and_no_message_is_given_up(
    ingest: Bus, alerts: Bus, ready: str, until: Until
) -> None:
    """A keyring whose medium failed is Fatal for every message, and only a new process helps."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
    calls: list[int] = []
    fatal = Fatal("restart to see")

    async def handler(delivery: Delivery) -> None:
        calls.append(delivery.redeliveries)
        if len(calls) < 7:  # more often than a defect would be tried
            raise fatal

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"x")
    await until(lambda: len(calls) == 7)
    assert told == [fatal] * 6
    assert await _dead(alerts) == []


@pytest.mark.parametrize("trouble", [Rejected(Reason.BAD_MESSAGE, "poison"), ValueError("a defect")])
async def test_what_is_buried_is_told_after_its_record(
    ingest: Bus, alerts: Bus, ready: str, until: Until, trouble: Exception
) -> None:
    told: list[tuple[int, int]] = []

    async def handler(delivery: Delivery) -> None:
        raise trouble

    async def on_buried(delivery: Delivery) -> None:
        told.append((delivery.sequence, len(await _dead(alerts))))
        if len(told) == 1:
            raise Retryable("the store is away for a moment")

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler, on_buried=on_buried)
    await ingest.append(SUBJECT, b"x")
    await until(lambda: len(told) == 2)
    await asyncio.sleep(0.4)
    assert told == [(1, 1), (1, 1)], "one record, and again until it is done"


async def test_a_closed_subscription_holds_nothing(ingest: Bus, alerts: Bus, ready: str) -> None:
    """What a purged deployment's consumer knew must go with it."""

    class Handler:
        async def __call__(self, delivery: Delivery) -> None: ...

    handler = Handler()
    gone = weakref.ref(handler)
    consumer = await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await consumer.close()
    del handler
    gc.collect()
    assert gone() is None


async def test_no_more_at_once_than_allowed(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    at_work, most, done = 0, 0, 0

    async def handler(delivery: Delivery) -> None:
        nonlocal at_work, most, done
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.02)
        at_work -= 1
        done += 1

    for n in range(20):
        await ingest.append(SUBJECT, f"{n}".encode())
    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler, max_in_flight=3)
    await until(lambda: done == 20)
    assert most == 3


async def test_a_slow_handler_keeps_its_message(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    counts: list[int] = []
    finished = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        counts.append(delivery.redeliveries)
        # More than twice the time after which the server gives up on a silent consumer.
        await asyncio.sleep(2.7)
        finished.set()

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"x")
    await asyncio.wait_for(finished.wait(), 10)
    assert counts == [0]


async def test_closing_finishes_what_is_at_work(ingest: Bus, alerts: Bus, ready: str) -> None:
    began, finished = asyncio.Event(), []

    async def handler(delivery: Delivery) -> None:
        began.set()
        await asyncio.sleep(0.2)
        finished.append(delivery.sequence)

    consumer = await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"x")
    await began.wait()
    await consumer.close()
    await consumer.close()
    assert finished == [1]


async def test_what_drain_cuts_off_is_given_back_at_once(
    system: Any, ingest: Bus, alerts: Bus, ready: str, until: Until
) -> None:
    going = await system.connect(Service.ALERTS, drain_time=timedelta(milliseconds=100))
    began = asyncio.Event()

    async def stuck(delivery: Delivery) -> None:
        began.set()
        await asyncio.sleep(60)

    await going.consume(EVIDENCE, "dep-1", "alerts", stuck)
    await ingest.append(SUBJECT, b"x")
    await began.wait()
    await going.drain()
    await going.close()
    got: list[int] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery.redeliveries)

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    # Sooner than the server would take it back from a consumer that said nothing.
    await until(lambda: got == [1], seconds=1)


async def test_a_handler_may_erase_its_message(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    got: list[int] = []

    async def handler(delivery: Delivery) -> None:
        await alerts.steward.erase(EVIDENCE, "dep-1", delivery.sequence)
        got.append(delivery.sequence)

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    for n in range(3):
        await ingest.append(SUBJECT, f"{n}".encode())
    await until(lambda: sorted(got) == [1, 2, 3])
    await asyncio.sleep(0.3)
    assert len(got) == 3
    assert await alerts.last(EVIDENCE, "dep-1", SUBJECT) is None


async def test_last_is_the_newest_of_a_subject(ingest: Bus, gateway: Bus, ready: str) -> None:
    subject = LEDGER.of("dep-1", "cam")
    assert await gateway.last(LEDGER, "dep-1", subject) is None
    for n in range(3):
        await ingest.append(subject, f"{n}".encode())
    stored = await gateway.last(LEDGER, "dep-1", subject)
    assert stored is not None
    assert (stored.subject, stored.data, stored.sequence) == (subject, b"2", 3)
    assert abs(stored.at - datetime.now(UTC)) < timedelta(seconds=10)
    with pytest.raises(Retryable):
        await gateway.last(LEDGER, "other", LEDGER.of("other", "cam"))


async def test_latest_is_the_newest_of_every_subject(alerts: Bus, ready: str) -> None:
    assert [s async for s in alerts.latest(ALERT, "dep-1")] == []
    for alert in ("b", "a", "b"):
        for part in ("record", "probe"):
            await alerts.append(ALERT.of("dep-1", alert, part), f"{alert} {part}".encode())
    everything = [(s.subject, s.data, s.sequence) async for s in alerts.latest(ALERT, "dep-1")]
    assert everything == [
        ("overt.alert.dep-1.a.record", b"a record", 3),
        ("overt.alert.dep-1.a.probe", b"a probe", 4),
        ("overt.alert.dep-1.b.record", b"b record", 5),
        ("overt.alert.dep-1.b.probe", b"b probe", 6),
    ]
    records = [s.data async for s in alerts.latest(ALERT, "dep-1", matching=ALERT.of("dep-1", "*", "record"))]
    assert records == [b"a record", b"b record"]
    with pytest.raises(Retryable):
        _ = [s async for s in alerts.latest(ALERT, "other")]


async def test_latest_only_keeps_one_message_a_subject(ingest: Bus, gateway: Bus, ready: str) -> None:
    subject = LEDGER.of("dep-1", "cam", "e1")
    # More than the stream holds if the older ones stayed.
    count = LEDGER.max_bytes // MAX_MESSAGE_BYTES + 2
    for _ in range(count):
        await ingest.append(subject, bytes(MAX_MESSAGE_BYTES))
    stored = await gateway.last(LEDGER, "dep-1", subject)
    assert stored is not None
    assert stored.sequence == count


async def test_steward_is_idempotent(ingest: Bus, alerts: Bus, ready: str) -> None:
    await ingest.append(SUBJECT, b"x")
    await alerts.steward.ensure_operation()
    await alerts.steward.ensure("dep-1")
    assert await alerts.last(EVIDENCE, "dep-1", SUBJECT) is not None
    await alerts.steward.purge_stream(EVIDENCE, "dep-1")
    await alerts.steward.purge_stream(EVIDENCE, "dep-1")
    assert await alerts.last(EVIDENCE, "dep-1", SUBJECT) is None
    assert await ingest.append(SUBJECT, b"y") == 2
    for _ in range(2):
        await alerts.steward.erase(EVIDENCE, "dep-1", 2)
        await alerts.steward.delete_stream(EVIDENCE, "dep-1")
        await alerts.steward.delete_objects("dep-1")
        await alerts.steward.purge_stream(EVIDENCE, "dep-1")
    with pytest.raises(Retryable):
        await ingest.append(SUBJECT, b"z")


async def test_one_deployment_knows_nothing_of_another(ingest: Bus, alerts: Bus, ready: str) -> None:
    await alerts.steward.ensure("dep-2")
    await ingest.append(SUBJECT, b"one")
    await ingest.append(EVIDENCE.of("dep-2", "cam"), b"two")
    await alerts.steward.delete_stream(EVIDENCE, "dep-1")
    stored = await alerts.last(EVIDENCE, "dep-2", EVIDENCE.of("dep-2", "cam"))
    assert stored is not None
    assert stored.data == b"two"


async def test_a_durable_has_its_services_name(alerts: Bus, ready: str) -> None:
    async def handler(delivery: Delivery) -> None: ...

    with pytest.raises(Rejected) as caught:
        await alerts.consume(EVIDENCE, "dep-1", "somebody", handler)
    assert caught.value.reason is Reason.NOT_ALLOWED


async def test_consuming_what_is_not_there_is_retryable(alerts: Bus, ready: str) -> None:
    async def handler(delivery: Delivery) -> None: ...

    with pytest.raises(Retryable):
        await alerts.consume(EVIDENCE, "other", "alerts", handler)


async def test_a_consumer_survives_its_stream(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    got: list[bytes] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery.data)

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await ingest.append(SUBJECT, b"before")
    await until(lambda: got == [b"before"])
    await alerts.steward.delete_stream(EVIDENCE, "dep-1")
    await alerts.steward.ensure("dep-1")
    await ingest.append(SUBJECT, b"after")
    await until(lambda: got == [b"before", b"after"])


async def test_closing_the_bus_without_a_drain_gives_back(
    system: Any, ingest: Bus, alerts: Bus, ready: str, until: Until
) -> None:
    going = await system.connect(Service.ALERTS)
    began = asyncio.Event()

    async def stuck(delivery: Delivery) -> None:
        began.set()
        await asyncio.sleep(60)

    await going.consume(EVIDENCE, "dep-1", "alerts", stuck)
    await ingest.append(SUBJECT, b"x")
    await began.wait()
    await going.close()
    got: list[int] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery.redeliveries)

    await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await until(lambda: got == [1], seconds=1)


async def test_trace_context_goes_with_a_stored_message(ingest: Bus, alerts: Bus, ready: str, until: Until) -> None:
    got: list[Delivery] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery)

    with recorded_telemetry() as recorded:
        with span(SpanName.EVIDENCE_SEND) as sending:
            await ingest.append(SUBJECT, b"x")
            trace = sending.traceparent
        await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
        await until(lambda: any(s.name == "bus.consume" for s in recorded.spans))
        (consumed,) = (s for s in recorded.spans if s.name == "bus.consume")
    assert got[0].traceparent == trace
    assert f"{consumed.context.trace_id:032x}" == trace.split("-")[1]


@pytest.mark.parametrize(
    ("service", "attempt"),
    [
        ("gateway", lambda bus: bus.last(EVIDENCE, "dep-1", SUBJECT)),
        ("ingest", lambda bus: bus.last(EVIDENCE, "dep-1", SUBJECT)),
        ("gateway", lambda bus: bus.append(SUBJECT, b"x")),
        ("match", lambda bus: bus.append(LEDGER.of("dep-1", "cam"), b"x")),
        ("ingest", lambda bus: bus.objects("dep-1").get("list")),
        ("alerts", lambda bus: bus.objects("dep-1").names()),
        ("gateway", lambda bus: bus.steward.ensure("dep-2")),
        ("match", lambda bus: bus.steward.delete_objects("dep-1")),
    ],
)
async def test_what_the_table_does_not_give_is_refused(
    system: Any, ready: str, service: str, attempt: Callable[[Bus], Awaitable[Any]]
) -> None:
    bus = await system.connect(Service(service))
    with pytest.raises(Rejected) as caught:
        await attempt(bus)
    assert caught.value.reason is Reason.NOT_ALLOWED


async def test_listing_ends_though_messages_are_erased_meanwhile(alerts: Bus, ready: str) -> None:
    """What was counted when the listing began may be gone before it is read. (Without care this hung in one
    round of five on a real server.)"""
    for number in range(15):
        subjects = [ALERT.of("dep-1", f"a{number}-{i}", "record") for i in range(6)]
        sequences = [await alerts.append(subject, b"x") for subject in subjects]
        async with asyncio.timeout(5):
            erasing = [alerts.steward.erase(ALERT, "dep-1", s) for s in reversed(sequences)]
            found, *_ = await asyncio.gather(_subjects(alerts), *erasing)
        assert set(found) <= set(subjects)


async def _subjects(bus: Bus) -> list[str]:
    return [stored.subject async for stored in bus.latest(ALERT, "dep-1")]
