"""Scales, ticks, and labels that do not lie on one another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt_lab.evaluate.page.plots import SECOND, Dot, Series, det, dots
from overt_lab.evaluate.page.svg import Scale, Sheet, plain, spread_out

pytestmark = pytest.mark.unit


@settings(deadline=None)
@given(st.lists(st.floats(0, 300), min_size=1, max_size=12))
def test_labels_keep_their_distance_and_their_order(places: list[float]) -> None:
    found = spread_out(places, 17, 0, 300)
    order = sorted(range(len(places)), key=places.__getitem__)
    assert all(found[b] - found[a] >= 17 - 1e-6 for a, b in pairwise(order))
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in found)
    if all(places[b] - places[a] >= 17 for a, b in pairwise(order)):
        assert found == pytest.approx(places)


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 1, 0, 100), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Scale(0.95, 1, 0, 100), [0.95, 0.96, 0.97, 0.98, 0.99, 1]),
        (Scale(1e-4, 1, 0, 100, log=True), [1e-4, 1e-3, 1e-2, 0.1, 1]),
        (Scale(0.02, 0.5, 0, 100, log=True), [0.02, 0.05, 0.1, 0.2, 0.5]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]) -> None:
    assert scale.ticks() == pytest.approx(ticks)
    assert [scale(scale.low), scale(scale.high)] == [0, 100]


@settings(deadline=None)
@given(st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_scale_rises(a: float, b: float) -> None:
    scale = Scale(1e-5, 0.5, 10, 90, log=True)
    assert 10 <= scale(a) <= 90 + 1e-9
    assert (scale(a) <= scale(b)) or a > b


def _sheet() -> Sheet:
    return Sheet(760, 400, "a <title>", "what it shows", "one")


def test_curves_end_where_nobody_is_missed() -> None:
    drawn = det(_sheet(), [Series("raw", [(0.01, 0.2), (0.1, 0.02), (1, 0)], SECOND)], ("x", "y"))
    assert "nan" not in drawn
    assert "a &lt;title&gt;" in drawn
    assert drawn.count("<polyline") > 3


@pytest.mark.parametrize("points", [[], [(0.01, 0.0), (0.1, 0.0)]])
def test_nothing_to_draw_is_said(points: list[tuple[float, float]]) -> None:
    assert "too few" in det(_sheet(), [Series("raw", points, SECOND)] if points else [], ("x", "y"))
    assert "too few" in dots(_sheet(), [("a", [None])], [("raw", SECOND)], "x", plain, log=True)


def test_a_group_without_an_event_is_a_bar_without_a_marker() -> None:
    rows = [("a", [Dot(0.0, 0.0, 1e-3)]), ("b", [Dot(1e-3, 5e-4, 2e-3)])]
    drawn = dots(_sheet(), rows, [("raw", SECOND)], "x", plain, log=True)
    assert drawn.count("<circle") == 2, "one in the legend"
