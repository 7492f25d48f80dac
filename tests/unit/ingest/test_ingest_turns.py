"""Turns at detect: no more frames there than it looks at, in the order in which cameras asked."""

from __future__ import annotations

import asyncio

import pytest
from overt.reasons import Reason
from overt_ingest.turns import UNKNOWN, Turns
from support.camera_world import Set, scene

pytestmark = pytest.mark.unit


async def _let_run() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@scene
async def test_as_many_as_detect_looks_at_and_one_more() -> None:
    turns = Turns()
    turns.side_by_side(2)
    order: list[str] = []

    async def one(name: str, *, first: bool = False) -> None:
        await turns.take(first=first)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in "abcde":
            group.create_task(one(name))
        await _let_run()
        assert order == ["a", "b", "c"]
        group.create_task(one("missed", first=True))
        await _let_run()
        turns.give_back()
        await _let_run()
        assert order == ["a", "b", "c", "missed"]
        turns.give_back()
        turns.give_back()
    assert order == ["a", "b", "c", "missed", "d", "e"]


@scene
async def test_who_is_cancelled_holds_up_nobody() -> None:
    turns = Turns()
    turns.side_by_side(1)
    await turns.take()
    await turns.take()
    waits, other = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await _let_run()
    waits.cancel()
    turns.give_back()
    await _let_run()
    assert waits.cancelled()
    assert other.done()
    # In the very moment in which it is its turn, too.
    late, last = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await _let_run()
    turns.give_back()
    late.cancel()
    await _let_run()
    assert late.cancelled()
    assert last.done()


@scene
async def test_a_detect_that_does_not_say_and_one_that_says_another_number() -> None:
    turns = Turns()
    takers = [asyncio.create_task(turns.take()) for _ in range(UNKNOWN + 1)]
    await _let_run()
    assert [taker.done() for taker in takers] == [True] * UNKNOWN + [False]
    turns.side_by_side(UNKNOWN)
    await _let_run()
    assert takers[-1].done()
    turns.side_by_side(1)
    nobody = asyncio.create_task(turns.take())
    for _ in range(UNKNOWN - 1):
        turns.give_back()
    await _let_run()
    assert not nobody.done()
    turns.give_back()
    await nobody


@scene
async def test_a_camera_that_cannot_keep_up_leaves_out_what_is_too_old() -> None:
    world = Set(detect_takes=0.1)
    async with world.camera():
        await world.push(3, every=0.01, late=0.15)
        await asyncio.sleep(0.3)
        assert [number for number, _, _ in world.asked] == [1]
        await world.push(1, late=0.15)
    assert [number for number, _, _ in world.asked] == [1, 4]
    assert world.frames.reasons == {f"superseded/{Reason.TOO_OLD}": 1}
    assert world.frames.destroyed == {"superseded": 2, "no_face": 2}


@scene
async def test_a_source_that_left_frames_out_cannot_keep_up_either() -> None:
    world = Set(detect_takes=0.1)
    async with world.camera():
        await world.push(2, every=0.01)
        assert world.visit.behind, "a decoder skips what it can"
        await asyncio.sleep(0.3)
        await world.push(1, late=0.25)
        assert [number for number, _, _ in world.asked] == [1, 2]
        await asyncio.sleep(0.5)
        await world.push(1, late=0.25)
    assert [number for number, _, _ in world.asked] == [1, 2, 4]


@scene
async def test_one_that_keeps_up_leaves_out_nothing_however_old() -> None:
    world = Set(detect_takes=0.1)
    async with world.camera():
        await world.push(2, every=0.01, late=0.3)
        await asyncio.sleep(0.3)
    assert [number for number, _, _ in world.asked] == [1, 2]


@scene
async def test_one_whose_frames_are_all_too_old_sees_some_all_the_same() -> None:
    world = Set(detect_takes=0.1)
    async with world.camera():
        await world.push(60, late=0.3)
    assert 4 <= len(world.asked) <= 6, "about two a second of 2.4 s"
