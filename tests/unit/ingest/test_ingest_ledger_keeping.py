"""The receipts of an opening, and the lives that are declared lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from overt.errors import Retryable
from overt.ids import Epoch
from overt.ledger import DeclaredEpoch
from overt.reasons import Reason
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.sight import Sight
from overt_ingest.ledger_keeping import MAY_FOLLOW, RECEIPT_FRAMES
from overt_ingest.opening import Opening
from overt_ingest.testing import FakeParts
from support.camera_world import Set, scene

pytestmark = pytest.mark.unit


@scene
async def test_receipts_at_the_opening_every_minute_after_many_frames_and_at_the_end() -> None:
    world = Set()
    async with world.camera():
        assert [account.number for account in world.parts.receipts.accounts] == [0]
        await asyncio.sleep(125)
        assert [account.number for account in world.parts.receipts.accounts] == [0, 1, 2]
        await world.push(RECEIPT_FRAMES + 1, every=0.001)
        assert world.parts.receipts.accounts[-1].frames.entered == RECEIPT_FRAMES
    last = world.parts.receipts.accounts[-1]
    assert last.final
    assert last.conserved()
    assert last.may_follow == 0
    assert last.lived.count == RECEIPT_FRAMES + 1


@scene
async def test_no_more_frames_enter_than_the_last_stored_receipt_allows() -> None:
    world = Set()
    async with world.camera() as opening:
        world.parts.receipts.away = True
        with pytest.raises(Retryable):
            await world.push(MAY_FOLLOW + 1, every=0.0001)
        assert opening.camera.frames.entered == MAY_FOLLOW
        assert opening.camera.senses.sight(world.clock.monotonic())[0] is Sight.BLIND
        world.parts.receipts.away = False
        await asyncio.sleep(3)
        await world.push(1)
        assert opening.camera.senses.sight(world.clock.monotonic()) == (Sight.SEEING, None)


@scene
async def test_a_camera_whose_first_receipt_cannot_be_stored_stays_closed() -> None:
    world = Set()
    parts = FakeParts(analyse=world.analyse, judge=world.judge)
    parts.receipts.away = True
    opening = Opening(CameraSpec("dep", "cam"), epoch=Epoch("e1"), parts=parts, clock=world.clock)
    running = asyncio.create_task(opening.run())
    await asyncio.sleep(10)
    assert not opening.accepts
    assert opening.camera.senses.sight(world.clock.monotonic()) == (Sight.BLIND, Reason.LEDGER_AWAY)
    opening.shut()
    await running
    assert parts.receipts.accounts == []


@scene
async def test_a_life_that_ended_without_a_word_is_declared_once() -> None:
    world = Set()
    parts = FakeParts(analyse=world.analyse, judge=world.judge)

    async def live(epoch: str, *, kill: bool) -> None:
        opening = Opening(CameraSpec("dep", "cam"), epoch=Epoch(epoch), parts=parts, clock=world.clock)
        running = asyncio.create_task(opening.run())
        await asyncio.sleep(1)
        if kill:
            running.cancel()
        opening.shut()
        await asyncio.wait((running,))

    for epoch, kill in (("e1", True), ("e2", True), ("e3", False), ("e4", False)):
        await live(epoch, kill=kill)
    declared = {a.epoch: [lost.epoch for lost in a.declared] for a in parts.receipts.accounts}
    assert declared == {"e1": [], "e2": ["e1"], "e3": ["e2"], "e4": []}
    assert all(lost.unknown_frames_at_most == MAY_FOLLOW for a in parts.receipts.accounts for lost in a.declared)


@scene
async def test_lives_of_other_services_lost_since_the_camera_first_opened_are_declared() -> None:
    world = Set()
    parts = FakeParts(analyse=world.analyse, judge=world.judge)
    parts.losses.lost.append(DeclaredEpoch("match", "before", world.clock.now() - timedelta(minutes=1)))

    async def live(epoch: str, *, kill: bool = False) -> list[str]:
        opening = Opening(CameraSpec("dep", "cam"), epoch=Epoch(epoch), parts=parts, clock=world.clock)
        running = asyncio.create_task(opening.run())
        await asyncio.sleep(1)
        if kill:
            running.cancel()
        opening.shut()
        await asyncio.wait((running,))
        return [lost.epoch for lost in parts.receipts.accounts[-1].declared]

    assert await live("e1", kill=True) == []
    await asyncio.sleep(60)
    parts.losses.lost.append(DeclaredEpoch("match", "while nobody looked", world.clock.now()))
    await asyncio.sleep(60)
    assert await live("e2") == ["e1", "while nobody looked"]


@scene
async def test_another_epoch_of_detect_is_declared_in_the_next_receipt() -> None:
    world = Set()
    async with world.camera():
        world.parts.detector.dies("d1")
        await asyncio.sleep(0.01)
        (lost,) = world.parts.receipts.accounts[-1].declared
    assert (lost.service, lost.epoch, lost.unknown_frames_at_most) == ("detect", "d1", 0)
