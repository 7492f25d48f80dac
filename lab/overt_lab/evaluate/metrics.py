"""Error rates of one-to-one comparison, by ISO/IEC 19795-1 and by LFW's protocol. Pure: arrays in, figures out.

`scores`: float64[pairs], higher is more alike; NaN where a picture gave no template (a failure to enrol). `same`:
bool[pairs], True for a mated pair. Two pictures match when their score is at least the threshold. Cosines
and normalised scores are judged alike: a change of scale or of zero changes thresholds and no rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Mated = NDArray[np.bool_]

FOLDS = 10
FMRS = (1e-2, 1e-3, 1e-4)

FEWEST_EXPECTED_ERRORS = 5
"""A rate that rests on fewer is chance: with 5, one standard error is already 45 % of it."""

CURVE_STEPS = 120
"""Of a DET curve, over three or four powers of ten."""

_ROUNDING = 1e-9
"""0.07 * 100 is a little above 7, 0.29 * 100 a little below 29."""


@dataclass(frozen=True, slots=True)
class TenFold:
    """Accuracy and threshold of each fold; `wrong`: pairs told wrong in all of them."""

    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    wrong: int

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def standard_deviation(self) -> float:
        """Of the ten accuracies, with n - 1."""
        return float(np.std(self.accuracies, ddof=1))

    @property
    def standard_error(self) -> float:
        """Of the mean, which LFW's report states beside it."""
        return self.standard_deviation / math.sqrt(FOLDS)


@dataclass(frozen=True, slots=True)
class Step:
    """One threshold of a DET curve: the rate of others that match (FMR, FPIR) and of mated ones that do not."""

    threshold: float
    false: float
    missed: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """True matches at one false-match rate (FMR). `threshold` and `tmr` are None where too few errors are expected;
    `threshold` also where it is none because everything may match."""

    fmr: float
    threshold: float | None
    tmr: float | None
    mated: int
    missed: int
    non_mated: int
    expected_false_matches: float
    false_matches: int


def folds_of(same: Mated) -> NDArray[np.int64]:
    """int64[pairs]: the fold of each pair. Fold k holds the k-th tenth of the mated pairs and the k-th tenth of the
    others, in the order of the file. For a file in LFW's own order (ten sets of 300 and 300) these are its ten sets.
    """
    folds = np.empty(len(same), np.int64)
    for kind in (True, False):
        (members,) = np.nonzero(same == kind)
        for fold, part in enumerate(np.array_split(members, FOLDS)):
            folds[part] = fold
    return folds


def ten_fold(scores: Scores, same: Mated) -> TenFold | None:
    """Each fold's accuracy at the threshold that is best on the other nine. None with fewer than ten of either kind.

    Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild, technical report 07-49 (2007), view 2. A pair
    without a score counts as wrong whatever it is.
    """
    if min(same.sum(), (~same).sum()) < FOLDS:
        return None
    folds = folds_of(same)
    accuracies, thresholds, wrong = [], [], 0
    for fold in range(FOLDS):
        here = folds == fold
        threshold = best_threshold(scores[~here], same[~here])
        right = told_right(scores[here], same[here], threshold)
        accuracies.append(float(right.mean()))
        thresholds.append(threshold)
        wrong += int((~right).sum())
    return TenFold(tuple(accuracies), tuple(thresholds), wrong)


def best_threshold(scores: Scores, same: Mated) -> float:
    """At which most pairs are told right: half-way between two scores, or minus or plus infinity. Of several as good,
    the middle one, so that a rounding of one score does not carry it from one end of them to the other."""
    mated, others = _sorted(scores, same)
    values = np.union1d(mated, others)
    candidates = np.concatenate(([-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]))
    right = len(mated) - np.searchsorted(mated, candidates) + np.searchsorted(others, candidates)
    (best,) = np.nonzero(right == right.max())
    return float(candidates[best[len(best) // 2]])


def told_right(scores: Scores, same: Mated, threshold: float) -> NDArray[np.bool_]:
    """bool[pairs]: which are told right. Never a pair without a score."""
    right: NDArray[np.bool_] = ~np.isnan(scores) & ((scores >= threshold) == same)
    return right


def operating_point(scores: Scores, same: Mated, fmr: float) -> OperatingPoint:
    """The true-match rate (TMR, 1 - FNMR) at the lowest threshold whose false-match rate is not above `fmr`.

    ISO/IEC 19795-1. That threshold lies just above the 1 - FMR quantile of the non-mated scores. A mated pair without
    a score is missed; a non-mated one never matches, and stays in the denominator.
    """
    mated, others = _sorted(scores, same)
    of_mated, of_others = int(same.sum()), int((~same).sum())
    expected = fmr * of_others
    threshold = just_above(others[::-1], allowed_errors(fmr, of_others))
    missed = of_mated - _at_least(mated, threshold)
    known = of_mated > 0 and expected + _ROUNDING >= FEWEST_EXPECTED_ERRORS
    return OperatingPoint(
        fmr=fmr,
        threshold=threshold if known and np.isfinite(threshold) else None,
        tmr=1 - missed / of_mated if known else None,
        mated=of_mated,
        missed=missed,
        non_mated=of_others,
        expected_false_matches=expected,
        false_matches=_at_least(others, threshold),
    )


def allowed_errors(rate: float, trials: int) -> int:
    """The most events with which a rate is not above that."""
    return int(rate * trials + _ROUNDING)


def just_above(falling: Scores, allowed: int) -> float:
    """The lowest threshold that no more than `allowed` of these scores reach; minus infinity if all may."""
    return float(np.nextafter(falling[allowed], np.inf)) if allowed < len(falling) else -math.inf


def trade_off(scores: Scores, same: Mated) -> tuple[Step, ...]:
    """The DET curve (ISO/IEC 19795-1), from the lowest rate of false matches that rests on FEWEST_EXPECTED_ERRORS
    to the highest, in some CURVE_STEPS steps of about equal ratio. Empty without either kind."""
    mated, others = _sorted(scores, same)
    of_mated, of_others = int(same.sum()), int((~same).sum())
    if not of_mated or len(others) < FEWEST_EXPECTED_ERRORS:
        return ()
    counts = np.unique(np.geomspace(FEWEST_EXPECTED_ERRORS, len(others), CURVE_STEPS).round().astype(np.int64))
    # As many others as that reach the threshold, or with ties among them more.
    thresholds = np.unique(others[-counts])[::-1]
    false = len(others) - np.searchsorted(others, thresholds)
    hits = len(mated) - np.searchsorted(mated, thresholds)
    return tuple(
        Step(float(t), float(f) / of_others, 1 - float(h) / of_mated)
        for t, f, h in zip(thresholds, false, hits, strict=True)
    )


def named(rate: float) -> str:
    """1e-3 as people write it, without the zero that Python adds."""
    return f"{rate:.0e}".replace("e-0", "e-")


def _sorted(scores: Scores, same: Mated) -> tuple[Scores, Scores]:
    """The mated and the other scores there are, each in rising order."""
    there = ~np.isnan(scores)
    return np.sort(scores[there & same]), np.sort(scores[there & ~same])


def _at_least(rising: Scores, threshold: float) -> int:
    return len(rising) - int(np.searchsorted(rising, threshold))
