"""From a target rate to a threshold, and the step above it; what a forecast leaves open."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt.scoring import (
    MARGIN,
    RARER,
    Candidate,
    ProbeScores,
    ScoreToRate,
    Under18,
    VerdictKind,
    clopper_pearson,
    decide,
    fmr_for,
    forecast,
    margin_between,
    threshold_for,
)
from overt.scoring import _forecast as internals

pytestmark = pytest.mark.unit

RATES = ScoreToRate.from_impostors(np.random.default_rng(0).normal(size=200_000))
targets = st.floats(1e-5, 0.5)
sizes = st.integers(1, 100_000)


@given(targets, sizes)
def test_a_threshold_is_the_score_of_its_rate(target: float, size: int) -> None:
    found = threshold_for(RATES, target_fpir=target, list_size=size)
    fmr = fmr_for(target, size)
    assert (found.score, found.extrapolated) == RATES.score_at(fmr)
    assert found.target_fpir == target
    assert RATES.fmr(found.score).value == pytest.approx(fmr, rel=0.02)
    assert RATES.fmr(found.under_18_score).value == pytest.approx(fmr / RARER, rel=0.02)
    assert found.margin == margin_between(found.score, found.under_18_score) > 0


@given(targets, sizes, st.floats(1, 100), st.integers(0, 1000))
def test_a_stricter_target_or_a_longer_list_never_lowers_it(
    target: float, size: int, stricter: float, more: int
) -> None:
    found = threshold_for(RATES, target_fpir=target, list_size=size)
    for other in (
        threshold_for(RATES, target_fpir=target / stricter, list_size=size),
        threshold_for(RATES, target_fpir=target, list_size=size + more),
    ):
        assert other.score >= found.score - 1e-9
        assert other.under_18_score >= found.under_18_score - 1e-9


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_a_step_keeps_its_meaning_on_every_scale(scale: float, zero: float) -> None:
    """Scores in other units: thresholds and margin go with them."""
    scores = np.random.default_rng(1).normal(size=5000)
    one, other = (
        threshold_for(ScoreToRate.from_impostors(s), target_fpir=1e-2, list_size=50)
        for s in (scores, scores * scale + zero)
    )
    assert other.score == pytest.approx(one.score * scale + zero, rel=1e-6, abs=1e-6)
    assert other.margin == pytest.approx(one.margin * scale, rel=1e-6)


def test_what_cannot_be_aimed_at() -> None:
    for target, size in ((0.0, 10), (1.0, 10), (0.1, 0)):
        with pytest.raises(ValueError):
            threshold_for(RATES, target_fpir=target, list_size=size)
    assert margin_between(0.4, 0.3) == 0.0


def test_the_rule_on_normalised_scores() -> None:
    """As match puts it together: the margin of the calibration, and the higher threshold for the young."""
    found = threshold_for(RATES, target_fpir=1e-2, list_size=100)
    assert found.margin != MARGIN
    level = found.score + found.margin / 2
    probes = [
        ProbeScores(np.datetime64(second, "s").item(), [Candidate("a", level), Candidate("b", found.score - 0.1)])
        for second in (0, 1, 2)
    ]

    def verdict(*young: str) -> object:
        under_18 = Under18(young, found.under_18_score)
        return decide(probes, threshold=found.score, margin=found.margin, under_18=under_18, uncalibrated=False)

    adult = verdict()
    assert (adult.kind, adult.entry_id, adult.rival, adult.uncalibrated) == (VerdictKind.AGREED, "a", "b", False)  # type: ignore[attr-defined]
    assert verdict("a").kind is VerdictKind.NO_MATCH  # type: ignore[attr-defined]


# What a forecast leaves open


@given(st.floats(1e-6, 1e-3), st.integers(1, 5000), st.integers(1, 5000))
def test_the_interval_of_the_rate_holds_it(fmr: float, size: int, footfall: int) -> None:
    told = forecast(RATES, None, list_size=size, footfall=footfall, threshold=RATES.score_at(fmr)[0])
    assert told.fpir_interval.low <= told.fpir <= told.fpir_interval.high
    assert told.fpir_interval.low >= 0
    assert told.fpir_interval.high <= 1
    assert told.low <= told.high <= footfall


@given(st.floats(1e-4, 50), st.floats(1e-6, 30), st.integers(1, 3000), st.sampled_from([0.025, 0.975]))
def test_counts_beyond_the_bound_change_nothing(mean: float, variance: float, most: int, chance: float) -> None:
    """The same quantile from all counts there can be."""
    shape = 1 / variance
    counts = np.arange(1, most + 1)
    steps = np.log(shape + counts - 1) - np.log(counts) + math.log(mean / (mean + shape))
    begin = -shape * math.log1p(mean / shape)
    chances = np.exp(np.concatenate([[begin], begin + np.cumsum(steps)]))
    assert internals._quantile(mean, variance, chance, most) == min(
        most, int(np.searchsorted(np.cumsum(chances), chance))
    )


def test_a_great_many_passers_by_take_no_great_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 0
    real = np.arange

    def watched(start: int, stop: int) -> object:
        nonlocal longest
        longest = max(longest, stop - start)
        return real(start, stop)

    monkeypatch.setattr(internals.np, "arange", watched)
    told = forecast(RATES, None, list_size=800, footfall=1_000_000, threshold=RATES.score_at(1e-9)[0])
    assert told.high < longest < 1000


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_an_interval_of_counts_that_are_not_whole(share: float, trials: int) -> None:
    low, high = clopper_pearson(share * trials, trials)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
