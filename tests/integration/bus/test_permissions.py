"""Every service tries everything on a real server: what the contract table gives works, the rest is refused.

The expectation is read from overt.subjects here, a second time and in other words than overt.bus.access does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import product

import pytest
from overt.api.ingest.v1.ingest_pb2 import CameraStatus
from overt.api.match.v1.match_pb2 import SearchReply, SearchRequest
from overt.bus import Delivery, NatsBus, connect
from overt.errors import Rejected
from overt.reasons import Reason
from overt.subjects import (
    BUCKETS,
    CORE,
    DEPLOYMENTS,
    EVIDENCE,
    LISTS,
    PREVIEW,
    SEARCH,
    STATUS,
    STREAMS,
    Bucket,
    CoreSubject,
    Service,
    StreamSubject,
    list_objects_bucket,
)

pytestmark = pytest.mark.integration

DEP = "dep-1"
OBJECTS = list_objects_bucket(DEP)
every_service = pytest.mark.parametrize("service", list(Service), ids=lambda s: s.value)

# Every call of JetStream's API that reads or changes data without naming its subject, for a stream {s}.
UNSCOPED = (
    "INFO",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.INFO.{s}",
    "STREAM.MSG.GET.{s}",
    "STREAM.SNAPSHOT.{s}",
    "STREAM.RESTORE.{s}",
    "STREAM.PEER.REMOVE.{s}",
    "STREAM.LEADER.STEPDOWN.{s}",
    "DIRECT.GET.{s}",
    "CONSUMER.CREATE.{s}",
    "CONSUMER.CREATE.{s}.any",
    "CONSUMER.DURABLE.CREATE.{s}.any",
    "CONSUMER.NAMES.{s}",
    "CONSUMER.LIST.{s}",
    "CONSUMER.INFO.{s}.alerts",
    "CONSUMER.DELETE.{s}.alerts",
    "CONSUMER.PAUSE.{s}.alerts",
    "CONSUMER.RESET.{s}.alerts",
    "CONSUMER.UNPIN.{s}.alerts",
)
STEWARDSHIP = (
    "STREAM.CREATE.{s}",
    "STREAM.UPDATE.{s}",
    "STREAM.PURGE.{s}",
    "STREAM.DELETE.{s}",
    "STREAM.MSG.DELETE.{s}",
)
PREFIXES = ("STORE.", "$JS.API.")


def _streams() -> list[str]:
    return [*(s.stream(DEP) for s in STREAMS), *(f"KV_{b.name}" for b in BUCKETS), f"OBJ_{OBJECTS}"]


def _told(found: dict[str, bool], expected: dict[str, bool]) -> list[str]:
    return [f"{what}: {'allowed' if found[what] else 'refused'}" for what in expected if found[what] != expected[what]]


@every_service
async def test_publishing(plain: dict, service: Service) -> None:
    one = plain[service]
    expected: dict[str, bool] = {c.of(DEP): service in c.publishers for c in CORE}
    expected |= {s.of(DEP, "x"): service in s.publishers for s in STREAMS}
    for bucket, owner in product(BUCKETS, Service):
        key = f"$KV.{bucket.name}.{owner.value}.x"
        expected[key] = service in bucket.writers_of(f"{owner.value}.x")
    expected |= {f"$O.{OBJECTS}.{kind}.x": service is Service.MATCH for kind in "CM"}
    found = {subject: await one.may_publish(subject) for subject in expected}
    assert _told(found, expected) == []


@every_service
async def test_listening(plain: dict, service: Service) -> None:
    one = plain[service]
    expected: dict[str, bool] = {c.every: service in c.subscribers for c in CORE}
    # What is stored is read from the stream, never listened to: not even by those who may read it.
    expected |= dict.fromkeys([s.every for s in STREAMS], False)
    expected |= dict.fromkeys([f"$KV.{b.name}.>" for b in BUCKETS], False)
    expected |= dict.fromkeys([f"$O.{OBJECTS}.>", ">", "*", "overt.>", "$SYS.>", "$JS.>", "STORE.>", "_INBOX.>"], False)
    for other in Service:
        expected[f"_INBOX_{other.value}.>"] = other is service and service is not Service.DETECT
        expected[f"_INBOX_{other.value}.abc.*"] = other is service and service is not Service.DETECT
    found = {subject: await one.may_subscribe(subject) for subject in expected}
    assert _told(found, expected) == []


@every_service
async def test_speaking_to_another_services_inbox(plain: dict, service: Service) -> None:
    for other in Service:
        assert not await plain[service].may_publish(f"_INBOX_{other.value}.abc")


@every_service
async def test_jetstream_calls_that_name_their_subject(plain: dict, service: Service) -> None:
    one = plain[service]
    readable = [(s.stream(DEP), s.all_of(DEP), service in s.readers) for s in STREAMS]
    readable += [(f"KV_{b.name}", f"$KV.{b.name}.>", service in b.readers) for b in BUCKETS]
    readable += [(f"OBJ_{OBJECTS}", f"$O.{OBJECTS}.M.>", service is Service.MATCH)]
    expected: dict[str, bool] = {}
    for (stream, _, _), (_, subjects, may) in product(readable, readable):
        # A filter decides, whatever the stream's name: of another stream it selects nothing. Buckets are named
        # in full.
        bucket = subjects.startswith("$KV.")
        allowed = may and (stream == f"KV_{subjects.split('.')[1]}" or not bucket)
        expected[f"STORE.CONSUMER.CREATE.{stream}.name.{subjects}"] = allowed
        expected[f"STORE.DIRECT.GET.{stream}.{subjects.removesuffix('>')}x"] = allowed
        # Not by its name in another account.
        expected[f"$JS.API.DIRECT.GET.{stream}.{subjects.removesuffix('>')}x"] = False
    reads = any(service in s.readers for s in STREAMS)
    for spec, other in product(STREAMS, Service):
        name = spec.stream(DEP)
        expected[f"STORE.CONSUMER.MSG.NEXT.{name}.{other.value}"] = reads and other is service
        expected[f"$JS.ACK.{name}.{other.value}.1.1.1.1.0"] = reads and other is service
    found = {subject: await one.may_publish(subject, b"{}") for subject in expected}
    assert _told(found, expected) == []


@every_service
async def test_jetstream_calls_that_do_not(plain: dict, service: Service) -> None:
    one = plain[service]
    expected: dict[str, bool] = {}
    for prefix, call, stream in product(PREFIXES, UNSCOPED, _streams()):
        expected[prefix + call.format(s=stream)] = False
    for prefix, call, stream in product(PREFIXES, STEWARDSHIP, _streams()):
        expected[prefix + call.format(s=stream)] = service is Service.ALERTS and prefix == "STORE."
    # Nothing is asked of it that would be done: the body does not parse.
    found = {subject: await one.may_publish(subject, b"!") for subject in expected}
    assert _told(found, expected) == []


async def test_detect_has_no_business_here(plain: dict, server) -> None:
    assert not await plain[Service.DETECT].may_publish("anything")
    assert not await plain[Service.DETECT].may_subscribe("anything")
    with pytest.raises(Rejected) as caught:
        await connect(server.address(Service.DETECT), name="test")
    assert caught.value.reason is Reason.NOT_ALLOWED


async def _refused(attempt: Awaitable[object]) -> bool:
    """True: refused by permission. Anything else that goes wrong fails the test."""
    try:
        await asyncio.wait_for(attempt, 5)
    except Rejected as error:
        if error.reason is not Reason.NOT_ALLOWED:
            raise
        return True
    return False


@pytest.mark.parametrize("spec", STREAMS, ids=lambda s: s.stream_prefix)
async def test_streams_through_the_bus(buses: dict[Service, NatsBus], spec: StreamSubject) -> None:
    subject = spec.of(DEP, "probe-of-the-test")
    for service, bus in buses.items():
        assert await _refused(bus.append(subject, b"x")) == (service not in spec.publishers)
    for service, bus in buses.items():
        assert await _refused(bus.last(spec, DEP, subject)) == (service not in spec.readers)
        if service in spec.readers:
            assert (await bus.last(spec, DEP, subject)) is not None
            assert subject in [s.subject async for s in bus.latest(spec, DEP)]

        async def handler(delivery: Delivery) -> None: ...

        consuming = bus.consume(spec, DEP, service.value, handler)
        assert await _refused(consuming) == (service not in spec.readers)
    for bus in buses.values():
        await bus.drain()


@pytest.mark.parametrize("bucket", BUCKETS, ids=lambda b: b.name)
async def test_buckets_through_the_bus(buses: dict[Service, NatsBus], bucket: Bucket) -> None:
    for service, bus in buses.items():
        key = f"{service.value}.probe"
        if service in bucket.writers:
            await bus.bucket(bucket).create(key, b"x")
        else:
            assert await _refused(bus.bucket(bucket).update(key, b"x", 0))
    for service, bus in buses.items():
        watch = bus.bucket(bucket).watch()
        assert await _refused(bus.bucket(bucket).get("x")) == (service not in bucket.readers)
        assert await _refused(anext(watch)) == (service not in bucket.readers)
        await watch.aclose()


async def test_objects_and_stewardship_through_the_bus(buses: dict[Service, NatsBus]) -> None:
    attempts: list[tuple[Service, Callable[[NatsBus], Awaitable[object]]]] = [
        (Service.MATCH, lambda bus: bus.objects(DEP).put("part", bytes(200_000))),
        (Service.MATCH, lambda bus: bus.objects(DEP).get("part")),
        (Service.MATCH, lambda bus: bus.objects(DEP).names()),
        (Service.MATCH, lambda bus: bus.objects(DEP).delete("part")),
        (Service.ALERTS, lambda bus: bus.steward.ensure_operation()),
        (Service.ALERTS, lambda bus: bus.steward.ensure("dep-2")),
        (Service.ALERTS, lambda bus: bus.steward.erase(EVIDENCE, "dep-2", 1)),
        (Service.ALERTS, lambda bus: bus.steward.purge_stream(EVIDENCE, "dep-2")),
        (Service.ALERTS, lambda bus: bus.steward.delete_stream(EVIDENCE, "dep-2")),
        (Service.ALERTS, lambda bus: bus.steward.delete_objects("dep-2")),
    ]
    for only, attempt in attempts:
        for service, bus in buses.items():
            assert await _refused(attempt(bus)) == (service is not only)


async def test_core_through_the_bus(buses: dict[Service, NatsBus]) -> None:
    async def answer(_: str, request: SearchRequest) -> SearchReply:
        return SearchReply(entry_id="found")

    async def hear(subject: str, message: object) -> None:
        heard.append(subject)
        if len(heard) == 2:
            both.set()

    heard: list[str] = []
    both = asyncio.Event()
    for service, bus in buses.items():
        serving = bus.serve(SEARCH, SearchRequest, answer, name="search")
        assert await _refused(serving) == (service not in SEARCH.subscribers)
        assert await _refused(bus.subscribe(STATUS.every, CameraStatus, hear)) == (service not in STATUS.subscribers)
        assert await _refused(bus.subscribe(PREVIEW.every, bytes, hear)) == (service not in PREVIEW.subscribers)
    for service, bus in buses.items():
        asking = bus.request(SEARCH.of(DEP), SearchRequest(), SearchReply, timeout=timedelta(seconds=2))
        if service in SEARCH.publishers:
            assert (await asking).entry_id == "found"
        else:
            assert await _refused(asking)
    told: list[tuple[CoreSubject, object]] = [(STATUS, CameraStatus()), (PREVIEW, b"jpeg")]
    for subject, message in told:
        await buses[Service.INGEST].publish(subject.of(DEP, "cam"), message)
    await asyncio.wait_for(both.wait(), 5)
    assert sorted(heard) == ["overt.preview.dep-1.cam", "overt.status.dep-1.cam"]


async def test_nobody_takes_anothers_messages(plain: dict, buses: dict[Service, NatsBus]) -> None:
    """A durable of alerts exists; ingest and gateway try to pull from it and to acknowledge for it."""
    got = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        if delivery.data == b"evidence":
            got.set()

    await buses[Service.ALERTS].consume(EVIDENCE, DEP, "alerts", handler)
    for thief in (Service.INGEST, Service.GATEWAY, Service.MATCH):
        body = json.dumps({"batch": 10, "expires": 10**9}).encode()
        for prefix in PREFIXES:
            call = f"{prefix}CONSUMER.MSG.NEXT.{EVIDENCE.stream(DEP)}.alerts"
            assert not await plain[thief].may_publish(call, body, reply=f"_INBOX_{thief.value}.x")
    await buses[Service.INGEST].append(EVIDENCE.of(DEP, "thief"), b"evidence")
    await asyncio.wait_for(got.wait(), 5)


def test_the_table_covers_the_buckets_that_matter() -> None:
    """So that a change of the table that opens one of these is seen here."""
    assert DEPLOYMENTS.writers == {Service.GATEWAY}
    assert LISTS.writers == {Service.MATCH}
    assert EVIDENCE.readers == {Service.ALERTS}
    assert SEARCH.publishers == {Service.INGEST}
