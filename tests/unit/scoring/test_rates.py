"""What a threshold means: the table of scores and rates, its intervals, and its end."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.scoring import MissRates, ScoreToRate, fmr_for, forecast, fpir

pytestmark = pytest.mark.unit

NORMAL = np.random.default_rng(0).normal(size=200_000)


@pytest.fixture(scope="module")
def table() -> ScoreToRate:
    return ScoreToRate.from_impostors(NORMAL)


def test_inside_the_data_rates_are_counted(table: ScoreToRate) -> None:
    for score in (0.0, 1.0, 2.5):
        rate = table.fmr(score)
        assert rate.value == pytest.approx((score <= NORMAL).mean(), rel=0.02)
        assert rate.low < (score <= NORMAL).mean() < rate.high
        assert not rate.extrapolated


def test_beyond_the_data_the_tail_is_marked_and_near_the_truth(table: ScoreToRate) -> None:
    rate = table.fmr(5.0)
    truth = math.erfc(5 / math.sqrt(2)) / 2  # 2.9e-7
    assert rate.extrapolated
    assert rate.low < truth < rate.high
    assert truth / 4 < rate.value < truth * 4


def test_a_handful_of_mistaken_pairs_does_not_move_the_end(table: ScoreToRate) -> None:
    mistaken = ScoreToRate.from_impostors(np.concatenate([NORMAL, np.full(10, 30.0)]))
    assert mistaken.score_at(1e-6)[0] == pytest.approx(table.score_at(1e-6)[0], abs=0.2)


@given(st.floats(-6, 30), st.floats(0, 5))
def test_a_higher_score_is_never_reached_more_often(table: ScoreToRate, score: float, more: float) -> None:
    low, high = table.fmr(score), table.fmr(score + more)
    assert high.value <= low.value
    for rate in (low, high):
        assert 0 <= rate.low <= rate.value <= rate.high <= 1


@given(st.floats(-9, 0).map(lambda power: 10**power))
def test_the_way_back_leads_to_the_rate(table: ScoreToRate, rate: float) -> None:
    score, extrapolated = table.score_at(rate)
    assert table.fmr(score).value == pytest.approx(rate, rel=0.02)
    assert extrapolated == (rate * len(NORMAL) < 5)


@given(st.lists(st.integers(-3, 3), min_size=1000, max_size=1100))
@settings(max_examples=25)
def test_ties_are_taken(scores: list[int]) -> None:
    table = ScoreToRate.from_impostors(np.array(scores, float))
    rates = [table.fmr(score).value for score in np.linspace(-4, 4, 33)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(rates))


def test_pairs_that_share_people_say_less() -> None:
    people = 200
    wolves = np.random.default_rng(1).normal(0, 0.7, people)
    first, second = np.triu_indices(people, 1)
    scores = wolves[first] + wolves[second] + np.random.default_rng(2).normal(size=len(first))
    known, unknown = ScoreToRate.from_impostors(scores, first, second), ScoreToRate.from_impostors(scores)
    at = known.score_at(1e-2)[0]
    assert known.spread_at(at) > 1
    assert known.fmr(at).high - known.fmr(at).low > 2 * (unknown.fmr(at).high - unknown.fmr(at).low)


def test_independent_pairs_have_next_to_no_spread() -> None:
    first, second = np.triu_indices(400, 1)
    table = ScoreToRate.from_impostors(NORMAL[: len(first)], first, second)
    assert table.spread_at(table.score_at(1e-2)[0]) < 0.1


def test_what_cannot_be_is_refused(table: ScoreToRate) -> None:
    with pytest.raises(ValueError, match="1000"):
        ScoreToRate.from_impostors(NORMAL[:999])
    with pytest.raises(ValueError, match="numbers"):
        ScoreToRate.from_impostors(np.append(NORMAL, np.nan))
    for rate in (0.0, 1.5):
        with pytest.raises(ValueError, match="aim at"):
            table.score_at(rate)


@given(st.floats(-9, -0.1).map(lambda power: 10**power), st.integers(1, 100_000))
def test_a_list_and_one_entry(rate: float, size: int) -> None:
    assert fpir(fmr_for(rate, size), size) == pytest.approx(rate, rel=1e-6)
    assert fpir(rate, 1) == pytest.approx(rate)


def test_misses_by_hand() -> None:
    misses = MissRates.from_mated(np.array([0.1, 0.2, 0.3, 0.4, np.nan]), people=4)
    assert misses.fnmr(0.1).value == pytest.approx(0.2)  # the one without a template
    assert misses.fnmr(0.25).value == pytest.approx(0.5)
    assert misses.fnmr(0.5).value == 1.0
    assert misses.fnmr(0.5).extrapolated
    found = misses.fnmr(0.25)
    assert found.low < found.value < found.high
    with pytest.raises(ValueError, match="mated"):
        MissRates.from_mated(np.array([np.nan]), people=1)


@given(st.integers(1, 20_000), st.integers(1, 30_000), st.floats(2.5, 6))
@settings(max_examples=40)
def test_a_forecast_holds_what_it_expects(table: ScoreToRate, size: int, footfall: int, threshold: float) -> None:
    told = forecast(table, None, list_size=size, footfall=footfall, threshold=threshold)
    assert told.low <= math.ceil(told.false_alerts)
    assert math.floor(told.false_alerts) <= told.high <= footfall
    assert told.misses is None
    longer = forecast(table, None, list_size=size + 1000, footfall=footfall, threshold=threshold)
    assert longer.false_alerts >= told.false_alerts


def test_a_forecast_covers_independent_days(table: ScoreToRate) -> None:
    random = np.random.default_rng(3)
    threshold = 4.2
    told = forecast(table, None, list_size=800, footfall=1200, threshold=threshold)
    truth = math.erfc(threshold / math.sqrt(2)) / 2
    days = random.binomial(1200, 1 - (1 - truth) ** 800, 2000)
    assert ((told.low <= days) & (days <= told.high)).mean() > 0.93
