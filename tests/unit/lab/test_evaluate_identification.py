"""Rates of identification on templates made by hand, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.scoring import SHORTLIST, Normalisation, Statistics, normalise
from overt_lab.evaluate import scores
from overt_lab.evaluate.metrics import operating_point, trade_off
from overt_lab.evaluate.resampling import Side, by_person
from overt_lab.evaluate.scores import NORMALISED, RAW, Scorer, Standing
from overt_lab.evaluate.templates import Templates

pytestmark = pytest.mark.unit


def _unit(random: np.random.Generator, count: int, length: int = 16) -> np.ndarray:
    rows = random.normal(size=(count, length))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _normalised(rows: np.ndarray, seed: int = 0) -> Scorer:
    """References are other templates than shots, and stand otherwise to the cohort."""
    random = np.random.default_rng(seed)
    shots, references = (
        Statistics(random.uniform(0.1, 0.5, len(rows)), random.uniform(0.05, 0.1, len(rows))) for _ in range(2)
    )
    turned = np.ascontiguousarray(rows[:, ::-1])
    return Scorer(NORMALISED, Templates(rows, 0, turned), Standing(shots, references), Normalisation(2, 1, 1))


# --- searching --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 100, 10**6])
def test_the_best_entry_does_not_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(scores, "_SCORES_AT_ONCE", at_once)
    rows = _unit(np.random.default_rng(1), 60)
    rows[7] = rows[45] = np.nan
    entries, probes = np.arange(20), np.arange(20, 60)
    for scorer in (Scorer(RAW, Templates(rows)), _normalised(rows)):
        score, place = scorer.best(probes, entries)
        table = scorer.table(probes, entries)
        assert np.isnan(table[:, 7]).all()
        assert (score[25], place[25]) == (pytest.approx(np.nan, nan_ok=True), -1)
        there = np.delete(np.arange(40), 25)
        assert np.array_equal(place[there], np.nanargmax(table[there], axis=1))
        assert score[there] == pytest.approx(np.nanmax(table[there], axis=1), abs=1e-5)


def test_a_normalised_score_is_of_the_entries_with_the_best_cosines() -> None:
    """As match has it: what is not among the first by raw cosine is not looked at."""
    rows = _unit(np.random.default_rng(2), 300)
    entries, probes = np.arange(200), np.arange(200, 300)
    scorer = _normalised(rows)
    assert scorer.standing is not None
    scorer.standing.references.mean[0] = -50  # the best for everybody, if it is looked at
    _, place = scorer.best(probes, entries)
    cosines = rows[probes] @ rows[entries, ::-1].T
    rank = (cosines > np.take_along_axis(cosines, place[:, None], axis=1)).sum(axis=1)
    assert rank.max() < SHORTLIST
    assert (np.argmax(scorer.table(probes, entries), axis=1) == 0).all()
    assert 0 < (place == 0).mean() < 0.6, "and that makes a difference"


def test_pairs_and_tables_agree() -> None:
    rows = _unit(np.random.default_rng(3), 30)
    a, b = np.arange(10), np.arange(10, 20)
    for scorer in (Scorer(RAW, Templates(rows)), _normalised(rows)):
        assert scorer.pairs(a, b) == pytest.approx(scorer.table(b, a).diagonal(), abs=1e-5)


def test_a_pair_is_of_a_reference_and_a_shot() -> None:
    rows = _unit(np.random.default_rng(3), 30)
    scorer = _normalised(rows)
    reference, shot = np.array([4]), np.array([9])
    assert scorer.standing is not None
    assert scorer.how is not None
    mine = normalise(
        np.array([rows[4, ::-1] @ rows[9]]),
        scorer.standing.shots[shot],
        scorer.standing.references[reference],
        scorer.how,
    )
    assert scorer.pairs(reference, shot) == pytest.approx(mine, abs=1e-5)
    plain = scorer.templates.unmirrored()
    assert plain is not None
    assert Scorer(RAW, plain).pairs(reference, shot) == pytest.approx(rows[4] @ rows[9], abs=1e-5)
    assert plain.unmirrored() is None


# --- curves and intervals ---------------------------------------------------------------------------------------


def test_a_curve_agrees_with_the_operating_points_and_begins_at_five() -> None:
    random = np.random.default_rng(4)
    values = np.concatenate([random.normal(3, 1, 400), random.normal(0, 1, 3000)])
    same = np.arange(3400) < 400
    curve = trade_off(values, same)
    assert curve[0].false == pytest.approx(5 / 3000)
    assert curve[-1].false == 1
    assert [s.false for s in curve] == sorted(s.false for s in curve)
    assert [s.missed for s in curve] == sorted((s.missed for s in curve), reverse=True)
    for step in curve:
        assert step.missed == pytest.approx((values[same] < step.threshold).mean())
    point = operating_point(values, same, 1e-2)
    nearest = min(curve, key=lambda s: abs(s.false - 1e-2))
    assert point.tmr is not None
    assert 1 - point.tmr == pytest.approx(nearest.missed, abs=0.02)


@pytest.mark.parametrize("kinds", [(0, 100), (100, 0), (100, 4), (0, 0)])
def test_without_enough_of_both_kinds_there_is_no_curve(kinds: tuple[int, int]) -> None:
    assert trade_off(np.zeros(sum(kinds)), np.arange(sum(kinds)) < kinds[0]) == ()


def test_intervals_hold_the_rate_and_are_wider_for_fewer_people() -> None:
    random = np.random.default_rng(5)
    mated, others = random.normal(3, 1, 1000), random.normal(0, 1, 4000)

    def of(people: int) -> tuple[float, float]:
        sides = Side(mated, np.arange(1000) % people), Side(others, np.arange(4000))
        ((low, high),) = by_person(*sides, [1e-2])
        return low, high

    rate = operating_point(np.concatenate([mated, others]), np.arange(5000) < 1000, 1e-2).tmr
    assert rate is not None
    assert of(1000)[0] < rate < of(1000)[1]
    # Sorted so that a person's pictures succeed and fail together.
    mated.sort()
    together = Side(mated, np.arange(1000) // 50), Side(others, np.arange(4000))
    ((low, high),) = by_person(*together, [1e-2])
    assert high - low > 2 * (of(1000)[1] - of(1000)[0])


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 5))
def test_missing_scores_are_misses_and_never_positives(of_mated: int, of_others: int) -> None:
    mated = np.array([np.nan] * of_mated + [1.0] * 5)
    others = np.array([np.nan] * of_others + [0.0] * 5)
    ((low, high),) = by_person(Side(mated, np.arange(len(mated)) * 0), Side(others, np.arange(len(others)) * 0), [0.0])
    assert low == high == pytest.approx(5 / len(mated)), "one person: nothing is drawn anew"
