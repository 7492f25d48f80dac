"""Key-value buckets with revisions and watches; the list's object store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from overt.api.control.v1.control_pb2 import Deployment
from overt.bus import Bus, Change
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import DEPLOYMENTS, LISTS, MAX_MESSAGE_BYTES

pytestmark = pytest.mark.contract

Until = Callable[..., Awaitable[None]]


def _shown(change: Change) -> tuple[str, bytes | None, bool]:
    return change.key, change.value, change.initial_done


async def test_create_get_update(gateway: Bus, ready: str) -> None:
    bucket = gateway.bucket(DEPLOYMENTS)
    assert await bucket.get("dep-1") is None
    first = await bucket.create("dep-1", Deployment(name="one"))
    assert await bucket.get("dep-1") == (first, Deployment(name="one").SerializeToString())
    second = await bucket.update("dep-1", b"two", first)
    assert second > first
    assert await bucket.get("dep-1") == (second, b"two")


async def test_a_lost_race_is_a_conflict(gateway: Bus, ready: str) -> None:
    bucket = gateway.bucket(DEPLOYMENTS)
    first = await bucket.create("dep-1", b"1")
    await bucket.update("dep-1", b"2", first)
    for attempt in (
        bucket.create("dep-1", b"3"),
        bucket.update("dep-1", b"3", first),
        bucket.update("dep-1", b"3", 99),
        bucket.delete("dep-1", first),
    ):
        with pytest.raises(Rejected) as caught:
            await attempt
        assert caught.value.reason is Reason.CONFLICT
    assert (await bucket.get("dep-1") or (0, b""))[1] == b"2"


async def test_only_one_of_many_writers_wins(gateway: Bus, ready: str) -> None:
    bucket = gateway.bucket(DEPLOYMENTS)
    outcomes = await asyncio.gather(*(bucket.create("k", b"%d" % n) for n in range(8)), return_exceptions=True)
    assert sum(isinstance(o, int) for o in outcomes) == 1


async def test_delete_and_create_again(gateway: Bus, ready: str) -> None:
    bucket = gateway.bucket(DEPLOYMENTS)
    await bucket.delete("dep-1", await bucket.create("dep-1", b"1"))
    assert await bucket.get("dep-1") is None
    revision = await bucket.create("dep-1", b"2")
    assert await bucket.get("dep-1") == (revision, b"2")


async def test_watch_tells_what_is_there_then_the_marker_then_changes(gateway: Bus, ingest: Bus, ready: str) -> None:
    bucket = gateway.bucket(DEPLOYMENTS)
    a = await bucket.create("a", b"1")
    await bucket.create("b", b"1")
    a = await bucket.update("a", b"2", a)
    watch = ingest.bucket(DEPLOYMENTS).watch()
    initial = [await anext(watch) for _ in range(3)]
    assert [_shown(c) for c in initial] == [("b", b"1", False), ("a", b"2", False), ("", None, True)]
    assert [c.is_marker for c in initial] == [False, False, True]
    assert initial[1].revision == a
    await bucket.delete("a", a)
    await bucket.create("c", b"1")
    assert [_shown(await anext(watch)) for _ in range(2)] == [("a", None, True), ("c", b"1", True)]
    assert watch.heard_ago < timedelta(seconds=2)
    await watch.aclose()


async def test_watch_of_an_empty_bucket_begins_with_the_marker(match: Bus, ready: str) -> None:
    watch = match.bucket(LISTS).watch()
    assert (await asyncio.wait_for(anext(watch), 5)).is_marker
    await match.bucket(LISTS).create("dep-1", b"head")
    assert _shown(await asyncio.wait_for(anext(watch), 5)) == ("dep-1", b"head", True)
    await watch.aclose()


async def test_two_watches_are_independent(gateway: Bus, match: Bus, ready: str) -> None:
    first, second = match.bucket(DEPLOYMENTS).watch(), match.bucket(DEPLOYMENTS).watch()
    assert (await anext(first)).is_marker
    await gateway.bucket(DEPLOYMENTS).create("a", b"1")
    assert _shown(await anext(second)) == ("a", b"1", False)
    assert _shown(await anext(first)) == ("a", b"1", True)


async def test_watch_waits_for_a_bucket_that_is_not_there_yet(alerts: Bus, ingest: Bus) -> None:
    watch = ingest.bucket(DEPLOYMENTS).watch()
    waiting = asyncio.create_task(anext(watch))  # type: ignore[arg-type]
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    await alerts.steward.ensure_operation()
    assert (await asyncio.wait_for(waiting, 5)).is_marker


async def test_bucket_that_is_not_there_is_retryable(gateway: Bus) -> None:
    with pytest.raises(Retryable):
        await gateway.bucket(DEPLOYMENTS).get("a")
    with pytest.raises(Retryable):
        await gateway.bucket(DEPLOYMENTS).create("a", b"1")


@pytest.mark.parametrize("key", ["", "a b", "a*", "a.>", ".a", "a.", "a..b", "é", "a" * 256, "a\r\nb"])
async def test_a_bad_key_is_rejected(gateway: Bus, ready: str, key: str) -> None:
    with pytest.raises(Rejected) as caught:
        await gateway.bucket(DEPLOYMENTS).get(key)
    assert caught.value.reason is Reason.BAD_FIELD


async def test_a_value_that_is_too_large_is_rejected(gateway: Bus, ready: str) -> None:
    with pytest.raises(Rejected) as caught:
        await gateway.bucket(DEPLOYMENTS).create("a", bytes(MAX_MESSAGE_BYTES + 1))
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 3_000_000])
async def test_object_comes_back_as_it_was_put(match: Bus, ready: str, size: int) -> None:
    objects = match.objects("dep-1")
    data = random.Random(size).randbytes(size)
    await objects.put("revision-1/part-0", data)
    assert await objects.get("revision-1/part-0") == data


async def test_objects_are_listed_replaced_and_deleted(match: Bus, ready: str) -> None:
    objects = match.objects("dep-1")
    assert await objects.names() == []
    assert await objects.get("b") is None
    for name in ("b", "a", "c"):
        await objects.put(name, name.encode() * 200_000)
    await objects.put("b", b"new")
    assert await objects.names() == ["a", "b", "c"]
    assert await objects.get("b") == b"new"
    await objects.delete("a")
    await objects.delete("a")
    assert await objects.names() == ["b", "c"]
    assert await objects.get("a") is None
    await objects.put("a", b"again")
    assert await objects.get("a") == b"again"


async def test_objects_belong_to_one_deployment(alerts: Bus, match: Bus, ready: str) -> None:
    await alerts.steward.ensure("dep-2")
    await match.objects("dep-1").put("list", b"one")
    await match.objects("dep-2").put("list", b"two")
    await alerts.steward.delete_objects("dep-1")
    assert await match.objects("dep-2").get("list") == b"two"
    with pytest.raises(Retryable):
        await match.objects("dep-1").get("list")
    await alerts.steward.ensure("dep-1")
    assert await match.objects("dep-1").names() == []


async def test_object_names_are_checked(match: Bus, ready: str) -> None:
    with pytest.raises(Rejected) as caught:
        await match.objects("dep-1").put("a > b", b"")
    assert caught.value.reason is Reason.BAD_FIELD
