"""Who may be on a list twice: told for whoever comes later, and never for somebody who is off the list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.api.match.v1 import match_pb2 as pb
from overt_match import wire
from overt_match.domain import Batch, Head, joined
from overt_match.duplicates import NEAR_DUPLICATE, near_duplicates
from overt_match.import_entries import _compared
from overt_match.loading import LoadedList
from support.watchlists import DEPLOYMENT, MODEL, entry, like, people, unit

pytestmark = pytest.mark.unit

NOBODY = joined([])


def batch(count: int, seed: int, first: int = 0) -> Batch:
    return wire.imported(people(unit(count, seed), first=first))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(0, 12), st.integers(1, 5))
def test_it_finds_what_comparing_each_with_each_finds(seed: int, new: int, listed: int, dimensions: int) -> None:
    """In so few dimensions there are many."""
    rows = unit(new + listed, seed, dimensions + 1)
    entries = [entry(i, [row]) for i, row in enumerate(rows)]
    before = wire.imported(entries[:listed]) if listed else NOBODY
    given_ = wire.imported(entries[listed:])
    cosines = rows[listed:] @ rows.T
    ids = [e.entry_id for e in (*before.entries, *given_.entries)]
    expected = [
        (i, ids[int(row[: listed + i].argmax())], float(row[: listed + i].max()))
        for i, row in enumerate(cosines)
        if listed + i and row[: listed + i].max() >= NEAR_DUPLICATE
    ]
    found = near_duplicates(given_, before)
    assert [(d.position, d.entry_id) for d in found] == [(i, other) for i, other, _ in expected]
    assert [d.cosine for d in found] == pytest.approx([cosine for *_, cosine in expected], abs=1e-5)


def test_parts_of_the_work_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(30, 1, 4)
    given_, before = wire.imported(people(rows[:20])), wire.imported(people(rows[20:], first=50))
    whole = near_duplicates(given_, before)
    monkeypatch.setattr("overt_match.duplicates._PAIRS_AT_ONCE", 70)
    assert near_duplicates(given_, before) == whole
    assert len(whole) > 5


def test_two_references_of_one_entry_are_no_double() -> None:
    one = unit(1, 1)[0]
    assert near_duplicates(wire.imported([entry(1, [one, like(one, 0.9)])]), NOBODY) == ()


def test_who_was_removed_is_nobodys_double() -> None:
    before = batch(3, 1)
    gone = before.entries[1].entry_id
    head = Head(revision=2, size=2, parts=("g1-a",), generation=1, removed=(gone,))
    loaded = LoadedList(head, {e.entry_id: e for e in before.entries}, parts={"g1-a": before})
    _, alike = _compared(batch(3, 1, first=70), loaded)
    assert [d.entry_id for d in alike] == [before.entries[0].entry_id, before.entries[2].entry_id]


async def test_who_may_be_listed_twice_is_told(world: Any) -> None:
    replica = await world.replica()
    listed = unit(40, 1)
    ids = await world.imported(replica, listed)
    twin = like(listed[5], 0.9)
    entries = [
        entry(50, [unit(1, 60)[0]]),
        entry(51, [unit(1, 61)[0], like(listed[7], 0.6, seed=8)]),
        entry(52, [twin]),
        entry(53, [like(twin, 0.99, seed=4)]),
        entry(54, [like(listed[9], 0.5, seed=9)]),
    ]
    request = pb.ImportRequest(deployment=DEPLOYMENT, model_digest=MODEL, entries=entries)
    reply = await replica.rpc.Import(request, None)
    assert reply.size == 45
    assert [(d.position, d.entry_id) for d in reply.near_duplicates] == [
        (1, ids[7]),
        (2, ids[5]),
        (3, reply.entry_ids[2]),
    ]
    assert [round(d.cosine, 3) for d in reply.near_duplicates] == [0.6, 0.9, 0.99]
