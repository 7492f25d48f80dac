"""Error rates against cases worked out by hand, and laws that hold for any scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from overt_lab.evaluate.metrics import (
    FOLDS,
    Mated,
    Scores,
    TenFold,
    best_threshold,
    folds_of,
    operating_point,
    ten_fold,
    told_right,
)

pytestmark = pytest.mark.unit


def _scores(mated: list[float], others: list[float]) -> tuple[Scores, Mated]:
    return np.array(mated + others, np.float64), np.array([True] * len(mated) + [False] * len(others), np.bool_)


@st.composite
def pairs(draw: st.DrawFn, fewest: int = 0) -> tuple[Scores, Mated]:
    """Whole numbers, so that ties are common and no transform rounds two scores into one; some are missing."""
    mated, others = draw(st.integers(fewest, 60)), draw(st.integers(fewest, 60))
    count = mated + others
    scores = draw(arrays.arrays(np.float64, count, elements=st.integers(-20, 20).map(float)))
    missing = draw(arrays.arrays(np.bool_, count, elements=st.sampled_from([False] * 9 + [True])))
    scores[missing] = math.nan
    same = np.array(draw(st.permutations([True] * mated + [False] * others)), np.bool_)
    return scores, same


# --- one threshold ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mated", "others", "best"),
    [
        ([0.6, 0.8], [0.1, 0.2], 0.4),
        ([0.625, 0.875], [0.125, 0.75], 0.8125),  # 0.375 tells three right as well: of two as good the upper
        ([0.5, 0.75, 1.0], [0.125, 0.6, 0.625], 0.6875),
        ([0.1], [0.5, 0.6], math.inf),  # best is to match nothing
        ([0.5, 0.6], [0.1], 0.3),
        ([], [0.3], math.inf),
        ([0.3], [], -math.inf),
        ([], [], math.inf),
    ],
)
def test_the_best_threshold(mated: list[float], others: list[float], best: float) -> None:
    assert best_threshold(*_scores(mated, others)) == best


def test_of_many_as_good_the_middle_one_is_taken() -> None:
    scores, same = _scores([2, 4, 6, 8], [1, 3, 5, 7])
    right = [int(told_right(scores, same, t).sum()) for t in (1.5, 3.5, 5.5, 7.5)]
    assert right == [5, 5, 5, 5]
    assert best_threshold(scores, same) == 5.5


@given(pairs())
def test_no_threshold_is_better_than_the_best(case: tuple[Scores, Mated]) -> None:
    scores, same = case
    best = told_right(scores, same, best_threshold(scores, same)).sum()
    anywhere = np.concatenate([np.arange(-20.5, 21.0, 0.5), [math.inf]])
    assert all(told_right(scores, same, t).sum() <= best for t in anywhere)


def test_a_pair_without_a_score_is_never_right() -> None:
    scores, same = _scores([math.nan, 0.9], [math.nan, 0.1])
    for threshold in (-math.inf, 0.5, math.inf):
        assert not told_right(scores, same, threshold)[[0, 2]].any()
    assert told_right(scores, same, 0.5).tolist() == [False, True, False, True]


# --- ten folds --------------------------------------------------------------------------------------------------


def test_folds_follow_the_order_of_the_file_within_each_kind() -> None:
    """As in lfw_dev: first every mated pair, then the others."""
    same = np.array([True] * 30 + [False] * 20)
    assert folds_of(same).tolist() == [k for k in range(10) for _ in range(3)] + [k for k in range(10) for _ in (1, 2)]


def test_the_folds_of_lfws_own_file_are_its_ten_sets() -> None:
    same = np.array(([True] * 300 + [False] * 300) * FOLDS)
    assert np.array_equal(folds_of(same), np.repeat(np.arange(FOLDS), 600))


@given(arrays.arrays(np.bool_, st.integers(0, 300)))
def test_every_fold_has_its_share_of_both_kinds(same: Mated) -> None:
    folds = folds_of(same)
    for kind in (True, False):
        sizes = np.bincount(folds[same == kind], minlength=FOLDS)
        assert len(sizes) == FOLDS
        assert np.ptp(sizes) <= 1


def test_ten_folds_by_hand() -> None:
    """One pair of each kind a fold. Mated 0.9 and others 0.1, but the mated one of fold 3 is 0.05 and the other one
    of fold 7 is 0.95: all are best told apart at 0.5, and those two have one right of two."""
    mated, others = [0.9] * 10, [0.1] * 10
    mated[3], others[7] = 0.05, 0.95
    fold = ten_fold(*_scores(mated, others))
    assert fold is not None
    assert fold.accuracies == (1, 1, 1, 0.5, 1, 1, 1, 0.5, 1, 1)
    assert fold.thresholds == (0.5,) * 10
    assert fold.wrong == 2
    assert fold.mean == pytest.approx(0.9)
    assert fold.standard_deviation == pytest.approx(math.sqrt((8 * 0.1**2 + 2 * 0.4**2) / 9))
    assert fold.standard_error == pytest.approx(fold.standard_deviation / math.sqrt(10))


def test_the_threshold_comes_from_the_other_folds_only() -> None:
    """One fold lies wholly elsewhere: told by the others' threshold, not by its own."""
    mated, others = [0.9] * 20, [0.5] * 20
    mated[:2], others[:2] = [0.4, 0.4], [0.2, 0.2]
    fold = ten_fold(*_scores(mated, others))
    assert fold is not None
    assert fold.thresholds[0] == pytest.approx(0.7)
    assert fold.accuracies[0] == 0.5


@pytest.mark.parametrize(("mated", "others"), [(9, 500), (500, 9), (0, 10), (10, 0)])
def test_fewer_than_ten_of_a_kind_make_no_ten_folds(mated: int, others: int) -> None:
    assert ten_fold(*_scores([0.9] * mated, [0.1] * others)) is None


def _fold(case: tuple[Scores, Mated]) -> TenFold:
    fold = ten_fold(*case)
    assert fold is not None
    return fold


@given(pairs(fewest=FOLDS), st.sampled_from([0.5, 1, 3]), st.sampled_from([-7, 0, 2]))
def test_a_change_of_scale_or_zero_changes_no_accuracy(case: tuple[Scores, Mated], scale: float, zero: float) -> None:
    scores, same = case
    before, after = _fold(case), _fold((scale * scores + zero, same))
    assert after.accuracies == before.accuracies
    assert after.thresholds == tuple(scale * t + zero for t in before.thresholds)


@given(pairs(), st.sampled_from([np.exp, np.cbrt, np.arctan]), st.sampled_from([0.01, 0.1, 0.3]))
def test_any_rising_change_leaves_the_rates_as_they_are(
    case: tuple[Scores, Mated], rising: np.ufunc, fmr: float
) -> None:
    scores, same = case
    changed = rising(scores)
    before, after = operating_point(scores, same, fmr), operating_point(changed, same, fmr)
    assert (before.missed, before.false_matches) == (after.missed, after.false_matches)
    best, after_best = best_threshold(scores, same), best_threshold(changed, same)
    assert np.array_equal(told_right(scores, same, best), told_right(changed, same, after_best))


@given(pairs())
def test_swapping_the_labels_and_the_sign_changes_nothing(case: tuple[Scores, Mated]) -> None:
    """ "Are they one person" of likeness is "are they two" of distance. The best that one threshold can do, for where
    in a gap the threshold lies is a choice."""
    scores, same = case
    best = told_right(scores, same, best_threshold(scores, same)).sum()
    assert told_right(-scores, ~same, best_threshold(-scores, ~same)).sum() == best


@given(pairs(fewest=FOLDS), st.data())
def test_losing_a_template_never_helps_the_pair(case: tuple[Scores, Mated], data: st.DataObject) -> None:
    scores, same = case
    lost = scores.copy()
    lost[data.draw(st.integers(0, len(scores) - 1))] = math.nan
    threshold = best_threshold(scores, same)
    assert told_right(lost, same, threshold).sum() <= told_right(scores, same, threshold).sum()


def test_perfect_and_useless_scores() -> None:
    random = np.random.default_rng(0)
    same = random.random(4000) < 0.5
    assert _fold((same + random.random(4000) * 0.5, same)).mean == 1
    assert _fold((random.random(4000), same)).mean == pytest.approx(0.5, abs=0.03)
    assert _fold((np.full(4000, math.nan), same)).mean == 0


# --- true matches at a false-match rate -------------------------------------------------------------------------


def test_an_operating_point_by_hand() -> None:
    """Others 0.000, 0.001 ... 0.999: one in a hundred are the ten from 0.990 on, so 0.989 must not match."""
    others = (np.arange(1000) / 1000).tolist()
    point = operating_point(*_scores([0.5, 0.989, 0.99, 0.995, math.nan], others), 1e-2)
    assert point.threshold is not None
    assert 0.989 < point.threshold <= 0.99
    assert (point.false_matches, point.expected_false_matches) == (10, 10)
    assert (point.mated, point.missed, point.non_mated) == (5, 3, 1000)
    assert point.tmr == pytest.approx(2 / 5)


def test_ties_at_the_threshold_do_not_match() -> None:
    """Twenty others share the highest score where ten may match: none does."""
    point = operating_point(*_scores([0.9, 0.95], [0.1] * 980 + [0.9] * 20), 1e-2)
    assert point.false_matches == 0
    assert point.tmr == 0.5


@pytest.mark.parametrize(("fmr", "others", "stated"), [(1e-2, 500, True), (1e-2, 499, False), (1e-3, 5000, True)])
def test_a_rate_takes_five_expected_errors(fmr: float, others: int, stated: bool) -> None:
    point = operating_point(*_scores([0.9] * 7 + [-1.0], np.linspace(0, 0.5, others).tolist()), fmr)
    assert (point.tmr is not None) is stated
    assert (point.threshold is not None) is stated
    assert (point.mated, point.missed, point.non_mated) == (8, 1, others), "the counts are there either way"
    assert point.expected_false_matches == pytest.approx(fmr * others)


def test_failures_to_enrol_are_misses_and_stay_in_the_denominator() -> None:
    others = [math.nan] * 500 + np.linspace(0, 1, 500).tolist()
    point = operating_point(*_scores([2.0, math.nan], others), 1e-2)
    assert point.non_mated == 1000
    assert point.false_matches == 10, "one in a hundred of all thousand"
    assert (point.tmr, point.missed) == (0.5, 1)


def test_where_everything_may_match_no_threshold_is_stated() -> None:
    point = operating_point(*_scores([0.5], [math.nan] * 1000), 1e-2)
    assert point.threshold is None
    assert point.tmr == 1


@pytest.mark.parametrize("kinds", [(0, 1000), (10, 0), (0, 0)])
def test_without_pairs_of_a_kind_there_is_no_rate(kinds: tuple[int, int]) -> None:
    point = operating_point(*_scores([0.5] * kinds[0], [0.1] * kinds[1]), 1e-2)
    assert point.tmr is None


@given(pairs(fewest=1), st.sampled_from([0.07, 0.1, 0.29, 0.5, 1.0]))
def test_the_threshold_is_the_lowest_that_keeps_the_rate(case: tuple[Scores, Mated], fmr: float) -> None:
    scores, same = case
    point = operating_point(scores, same, fmr)
    others = scores[~same & ~np.isnan(scores)]
    limit = fmr * (~same).sum() + 1e-6
    assert point.false_matches <= limit
    below = others[others < (point.threshold if point.threshold is not None else math.inf)]
    if point.threshold is not None and len(below):
        assert (others >= below.max()).sum() > limit - 1e-5, "any lower, and too many match"


@given(pairs(fewest=1))
def test_more_false_matches_allowed_never_means_fewer_true_ones(case: tuple[Scores, Mated]) -> None:
    missed = [operating_point(*case, fmr).missed for fmr in (0.01, 0.1, 0.3, 1.0)]
    assert missed == sorted(missed, reverse=True)
