"""The arithmetic of the books: laws, histogram, merging, and the way over the wire and back."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt.errors import Rejected
from overt.ledger import (
    FRAME_CLASSES,
    TRACK_CLASSES,
    Book,
    CameraAccount,
    DeclaredEpoch,
    Histogram,
    HistogramBuilder,
    figures,
    merge,
)
from overt.ledger.histogram import bucket_of, upper_edge_ms
from overt.ledger.wire import from_receipt, to_receipt

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


def account(**changes: object) -> CameraAccount:
    made = CameraAccount(
        deployment="dep",
        camera="cam",
        epoch="e1",
        number=3,
        began_at=NOW,
        until=NOW + timedelta(minutes=3),
        frames=Book(10, {"no_face": 6, "superseded": 2}, 1, 1, {"superseded/x": 1}),
        tracks=Book(4, {"no_match": 2, "quality": 1}, 1, 0, {"quality/blurred": 1}),
        lived=HistogramBuilder([timedelta(milliseconds=m) for m in (10, 20, 400)]).snapshot(),
        faces_seen=3,
        declared=(DeclaredEpoch("detect", "d1", NOW),),
        may_follow=1000,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the test names its fields


def test_a_life_that_several_cameras_declare_is_one_line_with_all_that_is_unknown() -> None:
    later = NOW + timedelta(seconds=2)
    accounts = [
        account(declared=(DeclaredEpoch("detect", "d1", later, 3), DeclaredEpoch("match", "m1", NOW))),
        account(camera="cam2", declared=(DeclaredEpoch("detect", "d1", NOW, 4), DeclaredEpoch("match", "m1", later))),
    ]
    totals = merge(accounts)
    assert totals.declared == (DeclaredEpoch("detect", "d1", NOW, 7), DeclaredEpoch("match", "m1", NOW))
    assert totals.unknown_frames_at_most == 7


def test_the_classes_are_those_of_the_architecture() -> None:
    assert set(FRAME_CLASSES) == {"no_face", "no_match", "superseded", "unanalysed", "rejected", "expired"}
    assert set(TRACK_CLASSES) == {"no_match", "quality", "outside_zone", "unconfirmed", "unanalysed", "expired"}


@pytest.mark.parametrize(
    "book",
    [
        Book(3, {"no_face": 1}, 1, 0),
        Book(1, {"no_face": 2}, 0, -1),
        Book(1, {"no_face": 1}, 0, 0, {"no_face/x": 2}),
        Book(1, {"no_face": 1}, 0, 0, {"no_match/x": 1}),
    ],
)
def test_a_book_that_does_not_balance_is_told(book: Book) -> None:
    assert not book.conserved()


def test_an_unknown_class_is_not_conserved() -> None:
    assert account().conserved()
    assert not account(frames=Book(1, {"archived": 1})).conserved()
    assert not account(tracks=Book(1, {"quality": 1}, 0, 0, {"superseded/x": 0, "nobody/x": 0})).conserved()


def test_a_final_account_has_nothing_in_flight_and_nothing_to_follow() -> None:
    done = Book(2, {"no_face": 2})
    assert account(final=True, frames=done, may_follow=0).conserved()
    assert not account(final=True, frames=done).conserved()
    assert not account(final=True, frames=Book(2, {"no_face": 1}, 0, 1), may_follow=0).conserved()


@given(st.floats(0.01, 1e7))
def test_a_bucket_holds_its_duration_within_five_percent(milliseconds: float) -> None:
    edge = upper_edge_ms(bucket_of(milliseconds))
    assert milliseconds <= edge * (1 + 1e-6)
    assert edge / 1.05 <= milliseconds * (1 + 1e-6)


@given(st.lists(st.floats(0.02, 1e6), min_size=1, max_size=60), st.floats(1, 100))
def test_a_percentile_is_the_nearest_rank_within_five_percent(durations: list[float], percent: float) -> None:
    histogram = HistogramBuilder([timedelta(milliseconds=d) for d in durations]).snapshot()
    rounded = sorted(max(timedelta(milliseconds=d) / timedelta(milliseconds=1), 0.01) for d in durations)
    exact = rounded[math.ceil(len(rounded) * percent / 100) - 1]
    told = histogram.percentile(percent)
    assert told is not None
    assert exact * (1 - 1e-6) <= told <= exact * 1.05 * (1 + 1e-6)
    assert histogram.count == len(durations)


def test_an_empty_histogram_has_no_percentile_and_a_wrong_percent_is_a_defect() -> None:
    assert Histogram().percentile(99) is None
    with pytest.raises(ValueError):
        Histogram().percentile(0)


def test_a_negative_duration_counts_as_the_shortest() -> None:
    histogram = HistogramBuilder([timedelta(seconds=-3)]).snapshot()
    assert histogram.count == 1
    assert histogram.max_ms == pytest.approx(0.01)


def test_histograms_add_up() -> None:
    one = HistogramBuilder([timedelta(milliseconds=m) for m in (1, 5)]).snapshot()
    two = HistogramBuilder([timedelta(milliseconds=m) for m in (5, 90)]).snapshot()
    assert one + two == HistogramBuilder([timedelta(milliseconds=m) for m in (1, 5, 5, 90)]).snapshot()


def test_merging_takes_the_newest_receipt_of_every_epoch_once() -> None:
    old, new = account(number=2, frames=Book(5, {"no_face": 5})), account(number=3)
    other = account(camera="cam2", declared=())
    totals = merge([new, old, new, other])
    assert totals.frames.entered == 20
    assert totals.faces_seen == 6
    assert totals.lived.count == 6
    assert totals.open_epochs == 2
    assert totals.conserved()


def test_the_figures_are_as_of_the_oldest_receipt_that_another_will_follow() -> None:
    first, second = NOW + timedelta(minutes=3), NOW + timedelta(minutes=4)
    closed = account(epoch="e0", until=NOW, final=True, may_follow=0, frames=Book(), declared=())
    fresh = account(camera="cam2", until=second, declared=())
    assert merge([]).as_of is None
    assert merge([closed]).as_of == NOW
    assert merge([closed, account(number=2, until=NOW), account(until=first), fresh]).as_of == first
    lost = account(epoch="e9", until=NOW)
    assert merge([lost, account(until=first, declared=(lost.declare_lost(),)), fresh]).as_of == first
    assert figures(merge([fresh]))["as_of"] == second.isoformat()
    assert figures(merge([]))["as_of"] is None


def test_what_was_in_flight_in_a_lost_epoch_is_unknown_not_in_flight() -> None:
    lost = account()
    after = account(
        epoch="e2", number=9, declared=(lost.declare_lost(),), final=True, may_follow=0, frames=Book(1, {"no_face": 1})
    )
    totals = merge([lost, after, after])
    assert totals.unknown_frames_at_most == 1000 + 1
    assert totals.frames.entered == 9 + 1
    assert totals.frames.in_flight == 0
    assert totals.open_epochs == 0
    assert totals.conserved()
    assert [lost.epoch for lost in totals.declared] == ["d1", "e1"]


def test_one_receipt_that_does_not_balance_spoils_the_total() -> None:
    wrong = account(number=1, frames=Book(5, {"no_face": 4}))
    totals = merge([wrong, account(number=2)])
    assert not totals.conserved()
    assert not figures(totals)["conserved"]


def test_the_way_over_the_wire_and_back_changes_nothing() -> None:
    for one in (account(), account(final=True, may_follow=0, declared=(account().declare_lost(),))):
        assert from_receipt(to_receipt(one)) == one


def test_a_receipt_without_its_parts_is_refused() -> None:
    receipt = to_receipt(account())
    receipt.ClearField("epoch")
    with pytest.raises(Rejected):
        from_receipt(receipt)
    receipt = to_receipt(account())
    receipt.ClearField("until")
    with pytest.raises(Rejected):
        from_receipt(receipt)


def test_the_figures_name_every_class_and_are_json() -> None:
    import json

    told = figures(merge([account()]))
    assert json.loads(json.dumps(told)) == told
    assert set(told["destroyed"]) == set(FRAME_CLASSES)
    assert set(told["tracks"]["destroyed"]) == set(TRACK_CLASSES)
    assert told["frames_in"] == 10
    assert told["tracks"]["seen"] == 4
    assert told["erase_ms"]["max"] == 400.0
    assert told["erase_ms"]["p50"] == pytest.approx(20, rel=0.05)
    assert figures(merge([]))["erase_ms"] == {"p50": None, "p95": None, "p99": None, "max": None}
