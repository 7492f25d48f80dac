"""Signing in and out, and who is noticed to have ended without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from overt.bus import Bus
from overt.errors import Rejected
from overt.ids import Epoch
from overt.lives import Losses, SignedLife
from overt.reasons import Reason
from overt.subjects import LIVES, Service
from overt.testing import FakeClock

pytestmark = pytest.mark.contract

Until = Callable[..., Awaitable[None]]
CLOCK = FakeClock()


@asynccontextmanager
async def living(
    bus: Bus, epoch: str, *, host: str = "host-1", service: Service = Service.MATCH
) -> AsyncIterator[SignedLife]:
    """A life that has signed in; it ends without a word unless somebody signs it out."""
    life = SignedLife(bus, service, host=host, epoch=Epoch(epoch), clock=CLOCK)
    running = asyncio.create_task(life.run())
    async with asyncio.timeout(10):
        await life.signed_in.wait()
    yield life
    running.cancel()
    await asyncio.wait((running,))


@asynccontextmanager
async def watched(bus: Bus) -> AsyncIterator[Losses]:
    losses = Losses(bus)
    running = asyncio.create_task(losses.run())
    yield losses
    running.cancel()
    await asyncio.wait((running,))


def _epochs(losses: Losses) -> list[tuple[str, str]]:
    return [(lost.service, lost.epoch) for lost in losses.since(CLOCK.now() - timedelta(days=1))]


async def test_who_signs_out_is_not_missed(match: Bus, ingest: Bus, ready: str, until: Until) -> None:
    async with watched(ingest) as losses:
        async with living(match, "m1") as first:
            await first.sign_out()
        async with living(match, "m2"):
            pass
        async with living(match, "m3"):
            await until(lambda: _epochs(losses))
            assert _epochs(losses) == [("match", "m2")]


async def test_each_service_and_each_host_has_a_life_of_its_own(
    match: Bus, alerts: Bus, ingest: Bus, ready: str, until: Until
) -> None:
    async with watched(ingest) as losses:
        async with living(match, "m1"), living(match, "m2", host="host-2"):
            pass
        async with living(alerts, "a1", service=Service.ALERTS):
            pass
        async with living(alerts, "a2", service=Service.ALERTS), living(match, "m3", host="host-2"):
            await until(lambda: len(_epochs(losses)) == 2)
            assert _epochs(losses) == [("alerts", "a1"), ("match", "m2")]


async def test_who_looks_later_learns_of_the_last_loss(match: Bus, ingest: Bus, ready: str, until: Until) -> None:
    async with living(match, "m1"):
        pass
    async with living(match, "m2"), watched(ingest) as losses:
        await until(lambda: _epochs(losses) == [("match", "m1")])
        assert losses.since(CLOCK.now() + timedelta(seconds=1)) == []


async def test_signing_twice_does_not_declare_oneself(match: Bus, ingest: Bus, ready: str) -> None:
    async with watched(ingest) as losses:
        async with living(match, "m1"), living(match, "m1"):
            pass
        assert _epochs(losses) == []


async def test_it_waits_for_a_bucket_that_is_not_there_yet(match: Bus, alerts: Bus, until: Until) -> None:
    life = SignedLife(match, Service.MATCH, host="host-1", epoch=Epoch("m1"), clock=CLOCK)
    running = asyncio.create_task(life.run())
    await asyncio.sleep(0.1)
    await alerts.steward.ensure_operation()
    await until(lambda: match.bucket(LIVES).get("match.host-1"))
    running.cancel()


async def test_nobody_signs_for_another(match: Bus, alerts: Bus, ready: str) -> None:
    for bus, key in ((match, "alerts.host-1"), (alerts, "match.host-1")):
        with pytest.raises(Rejected) as caught:
            await bus.bucket(LIVES).update(key, b"x", 0)
        assert caught.value.reason is Reason.NOT_ALLOWED


async def test_what_nobody_can_read_is_signed_over(match: Bus, ingest: Bus, ready: str) -> None:
    await match.bucket(LIVES).create("match.host-1", b"\xff\xff not a life")
    async with watched(ingest) as losses, living(match, "m1"):
        assert _epochs(losses) == []
