"""What is there, then every change; nobody waits for anybody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from overt.errors import Rejected, Retryable
from overt.ids import AlertId
from overt.reasons import Reason
from overt_alerts.domain import Alert, AlertChange, Box, Card, Change, EvidenceId, Sighting, Tombstone, buried
from overt_alerts.shelf import Board, Held, Shelf
from support.evidence import AT

pytestmark = pytest.mark.unit


def alert(name: str, *, seconds: float = 0) -> Alert:
    at = AT + timedelta(seconds=seconds)
    return Alert(
        alert_id=AlertId(name),
        deployment="market",
        camera="gate",
        card=Card("e", "REF-1", "other", "", "", False),
        score=0.6,
        threshold=0.5,
        uncalibrated=True,
        first_captured_at=at,
        raised_at=at,
        expires_at=at + timedelta(hours=1),
        sightings=(Sighting(EvidenceId(f"{name}@1"), "gate", at, 0.6),),
        scene_face=Box(0, 0, 1, 1),
        traceparent="",
    )


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def shelf(board: Board) -> Shelf:
    made = board.make("market", keep_for=timedelta(hours=1))
    board.add(made)
    return made


def told(change: AlertChange) -> tuple[str, str]:
    return change.change.value, change.what.alert_id


async def test_what_is_there_then_what_changes(shelf: Shelf) -> None:
    shelf.bury(Tombstone(AlertId("old"), "market"))
    shelf.put(Held(alert("b", seconds=2), 1))
    shelf.put(Held(alert("a", seconds=1), 1))
    watchers = [shelf.watch() for _ in range(3)]
    only_new = shelf.watch(only_new=True)
    shelf.put(Held(alert("b"), 2), Change.SIGHTED_AGAIN)
    shelf.put(Held(alert("c", seconds=3), 1))
    shelf.bury(buried(alert("a")))
    for watcher in (*watchers, only_new):
        watcher.end()
    new = [("sighted_again", "b"), ("raised", "c"), ("expired", "a")]
    for watcher in watchers:
        # `a` expired before anybody could look: it is not shown as it was, only that it is over.
        assert [told(c) async for c in watcher.changes()] == [
            ("expired", "old"),
            ("expired", "a"),
            ("raised", "b"),
            *new,
        ]
    assert [told(c) async for c in only_new.changes()] == new


async def test_a_change_wakes_who_waits(shelf: Shelf) -> None:
    changes = shelf.watch().changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done()
    shelf.put(Held(alert("a"), 1))
    assert told(await waiting) == ("raised", "a")
    await changes.aclose()


async def test_a_slow_watcher_is_sent_away_and_blocks_nobody(shelf: Shelf) -> None:
    slow, quick = shelf.watch(most=3), shelf.watch()
    for n in range(4):
        shelf.put(Held(alert(f"a{n}", seconds=n), 1))
    with pytest.raises(Retryable):
        async for _ in slow.changes():
            pass
    shelf.put(Held(alert("a9", seconds=9), 1))
    quick.end()
    assert len([c async for c in quick.changes()]) == 5


async def test_a_watcher_that_stalls_keeps_nothing_alive(shelf: Shelf) -> None:
    """What it has not taken by the time of expiry it never gets."""
    watcher = shelf.watch()
    shelf.put(Held(alert("a"), 1))
    shelf.put(Held(replace(alert("a")), 2), Change.SIGHTED_AGAIN)
    shelf.bury(buried(alert("a")))
    watcher.end()
    left = [c async for c in watcher.changes()]
    assert [told(c) for c in left] == [("expired", "a")]
    assert isinstance(left[0].what, Tombstone)


async def test_who_leaves_is_told_nothing_more(shelf: Shelf) -> None:
    changes = shelf.watch(most=1).changes()
    shelf.put(Held(alert("a"), 1))
    await anext(changes)
    await changes.aclose()
    for n in range(5):
        shelf.put(Held(alert(f"b{n}"), 1))
    assert not shelf._watchers


async def test_the_end_of_the_service_ends_them(board: Board, shelf: Shelf) -> None:
    changes = board.watch(shelf, only_new=False).changes()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    board.end_watchers()
    with pytest.raises(Retryable):
        await waiting
    with pytest.raises(Retryable):
        board.watch(shelf, only_new=False)


async def test_the_end_of_a_deployment_is_the_end_of_its_watch(board: Board, shelf: Shelf) -> None:
    watcher = board.watch(shelf, only_new=False)
    board.remove("market")
    assert [c async for c in watcher.changes()] == []


def test_an_alert_that_is_not_there(shelf: Shelf) -> None:
    shelf.put(Held(alert("a"), 1))
    shelf.bury(Tombstone(AlertId("old"), "market"))
    now = AT + timedelta(minutes=59)
    assert shelf.open_alert(AlertId("a"), now).alert.alert_id == "a"
    for name, at, reason in (
        ("a", AT + timedelta(hours=1), Reason.EXPIRED),
        ("old", now, Reason.EXPIRED),
        ("never", now, Reason.UNKNOWN_ALERT),
    ):
        with pytest.raises(Rejected) as info:
            shelf.open_alert(AlertId(name), at)
        assert info.value.reason is reason
