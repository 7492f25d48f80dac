"""The server is killed in the middle and comes back: nobody waits in vain, everything resumes by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from overt.api.ingest.v1.ingest_pb2 import CameraStatus
from overt.api.match.v1.match_pb2 import SearchReply, SearchRequest
from overt.bus import Bus, Delivery
from overt.errors import Retryable
from overt.subjects import DEPLOYMENTS, EVIDENCE, SEARCH, STATUS, Service

pytestmark = pytest.mark.contract

Until = Callable[..., Awaitable[None]]


async def _ask(bus: Bus, timeout: float = 1) -> SearchReply:
    return await bus.request(SEARCH.of("dep-1"), SearchRequest(), SearchReply, timeout=timedelta(seconds=timeout))


async def test_everything_resumes(
    system: Any, ingest: Bus, match: Bus, alerts: Bus, gateway: Bus, ready: str, until: Until
) -> None:
    consumed: list[bytes] = []
    heard: list[int] = []
    changes: list[tuple[str, bytes | None]] = []

    async def consume(delivery: Delivery) -> None:
        consumed.append(delivery.data)

    async def hear(_: str, status: CameraStatus) -> None:
        heard.append(status.faces_seen)

    async def answer(_: str, request: SearchRequest) -> SearchReply:
        return SearchReply(entry_id="e")

    async def follow() -> None:
        async for change in ingest.bucket(DEPLOYMENTS).watch():
            changes.append((change.key, change.value))

    await alerts.consume(EVIDENCE, "dep-1", "alerts", consume)
    await gateway.subscribe(STATUS.every, CameraStatus, hear)
    await match.serve(SEARCH, SearchRequest, answer, name="search")
    following = asyncio.create_task(follow())
    buses = (ingest, match, alerts, gateway)
    try:
        await ingest.append(EVIDENCE.of("dep-1", "cam"), b"1", message_id="1")
        await gateway.bucket(DEPLOYMENTS).create("dep-1", b"draft")
        revision = await gateway.bucket(DEPLOYMENTS).create("dep-2", b"draft")
        await until(lambda: consumed == [b"1"] and ("dep-2", b"draft") in changes)

        await system.lose()
        await until(lambda: not any(b.connected for b in buses))
        for attempt in (
            _ask(ingest, 30),
            ingest.append(EVIDENCE.of("dep-1", "cam"), b"2"),
            ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus()),
            gateway.bucket(DEPLOYMENTS).get("dep-1"),
        ):
            began = time.monotonic()
            with pytest.raises(Retryable):
                await attempt
            assert time.monotonic() - began < 0.5

        await system.bring_back()
        await until(lambda: all(b.connected for b in buses), seconds=15)
        await ingest.append(EVIDENCE.of("dep-1", "cam"), b"2", message_id="2")
        await gateway.bucket(DEPLOYMENTS).update("dep-2", b"active", revision)
        await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus(faces_seen=7))
        assert (await _ask(ingest)).entry_id == "e"
        await until(lambda: b"2" in consumed and ("dep-2", b"active") in changes and heard == [7])
        # At least once: a server that was killed may have forgotten an acknowledgement, never a message.
        assert set(consumed) == {b"1", b"2"}
        # The marker once, nothing twice.
        assert len(changes) == len(set(changes)) == 4
    finally:
        following.cancel()


async def test_a_request_that_waits_fails_at_once(system: Any, ingest: Bus, match: Bus) -> None:
    asked = asyncio.Event()

    async def never(_: str, request: SearchRequest) -> SearchReply:
        asked.set()
        await asyncio.sleep(60)
        return SearchReply()

    await match.serve(SEARCH, SearchRequest, never, name="search")
    asking = asyncio.create_task(_ask(ingest, 30))
    await asked.wait()
    await system.lose()
    began = time.monotonic()
    with pytest.raises(Retryable):
        await asking
    assert time.monotonic() - began < 2
    # Drained without a server: no error, no long wait.
    await asyncio.wait_for(ingest.drain(), 3)
    await system.bring_back()


async def test_loss_and_return_are_told(system: Any, until: Until) -> None:
    told: list[str] = []
    bus = await system.connect(
        Service.GATEWAY, on_loss=lambda: told.append("lost"), on_return=lambda: told.append("back")
    )
    await system.lose()
    await until(lambda: told == ["lost"])
    assert not bus.connected
    await system.bring_back()
    await until(lambda: told == ["lost", "back"], seconds=15)
    await bus.close()
    await asyncio.sleep(0.05)
    assert told == ["lost", "back"]


async def test_a_watch_knows_how_long_it_has_heard_nothing(system: Any, ingest: Bus, ready: str, until: Until) -> None:
    watch = ingest.bucket(DEPLOYMENTS).watch()
    assert (await anext(watch)).is_marker
    following = asyncio.create_task(anext(watch))  # type: ignore[arg-type]
    try:
        # Quiet, but there: the server's heartbeats are heard.
        await asyncio.sleep(1.5)
        assert watch.heard_ago < timedelta(seconds=1)
        await system.lose()
        await until(lambda: watch.heard_ago > timedelta(seconds=1.5))
        await system.bring_back()
        await until(lambda: watch.heard_ago < timedelta(seconds=1), seconds=15)
    finally:
        following.cancel()


async def test_a_consumer_closes_while_the_server_is_away(system: Any, ingest: Bus, alerts: Bus, ready: str) -> None:
    async def handler(delivery: Delivery) -> None: ...

    consumer = await alerts.consume(EVIDENCE, "dep-1", "alerts", handler)
    await system.lose()
    await asyncio.wait_for(consumer.close(), 3)
    await system.bring_back()


async def test_a_watch_notices_that_the_store_is_another_one(
    system: Any, ingest: Bus, gateway: Bus, alerts: Bus, ready: str, until: Until
) -> None:
    """Rebuilt from nothing: its revisions begin at 1 again, below what the watch has heard of."""
    changes: list[tuple[str, bytes | None]] = []

    async def follow() -> None:
        async for change in watch:
            changes.append((change.key, change.value))

    bucket = gateway.bucket(DEPLOYMENTS)
    revision = await bucket.create("kept", b"1")
    for value in (b"2", b"3"):
        revision = await bucket.update("kept", value, revision)
    await bucket.create("lost", b"1")
    await bucket.delete("over", await bucket.create("over", b"1"))
    watch = ingest.bucket(DEPLOYMENTS).watch()
    following = asyncio.create_task(follow())
    try:
        await until(lambda: ("", None) in changes)
        changes.clear()
        await system.lose()
        await system.wipe()
        await system.bring_back()
        await until(lambda: alerts.connected and gateway.connected and ingest.connected, seconds=15)
        await alerts.steward.ensure_operation()
        await until(lambda: ("lost", None) in changes)
        await bucket.create("kept", b"3")
        await bucket.create("new", b"1")
        await until(lambda: ("new", b"1") in changes)
        assert changes in (
            [("kept", None), ("lost", None), ("kept", b"3"), ("new", b"1")],
            [("lost", None), ("kept", None), ("kept", b"3"), ("new", b"1")],
        )
        assert watch.heard_ago < timedelta(seconds=1)
    finally:
        following.cancel()


async def test_a_watch_that_is_behind_has_not_heard(gateway: Bus, ingest: Bus, ready: str) -> None:
    """The server speaks, and what it said has not been taken in: a removal may be in it."""
    watch = ingest.bucket(DEPLOYMENTS).watch()
    assert (await anext(watch)).is_marker
    await gateway.bucket(DEPLOYMENTS).create("dep-1", b"active")
    await asyncio.sleep(1.5)
    assert watch.heard_ago > timedelta(seconds=0.9)
    assert (await anext(watch)).key == "dep-1"
    following = asyncio.create_task(anext(watch))  # type: ignore[arg-type]
    await asyncio.sleep(0.7)
    assert watch.heard_ago < timedelta(seconds=1)
    following.cancel()
