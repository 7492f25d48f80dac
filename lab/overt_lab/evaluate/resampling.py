"""How far a rate of identification may be from what was measured, when its threshold was measured too. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from overt.scoring import CONFIDENCE, Interval

RESAMPLES = 1_000
_SEED = 20_000


@dataclass(frozen=True, slots=True, repr=False)
class Side:
    """Scores, and the number of the person whose picture each is. NaN is a miss, and never a false positive."""

    scores: NDArray[np.float64]
    people: NDArray[np.int64]

    def falling(self) -> Side:
        """With the highest first and those that are missing last, and people numbered from 0."""
        order = np.argsort(-self.scores, kind="stable")
        return Side(self.scores[order], np.unique(self.people, return_inverse=True)[1][order])

    def drawn(self, random: np.random.Generator) -> NDArray[np.int64]:
        """How often each picture is in a set of as many people, drawn with replacement."""
        people = int(self.people.max()) + 1
        often: NDArray[np.int64] = np.bincount(random.integers(0, people, people), minlength=people)[self.people]
        return often


def by_person(mated: Side, non_mated: Side, rates: Sequence[float]) -> list[Interval]:
    """Of the true-positive rate at the threshold of each false-positive rate, where that threshold is found anew each
    time: a bootstrap of people on both sides, for pictures of one person succeed and fail together. Percentiles of
    RESAMPLES sets (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). Neither side may be empty.
    """
    mated, non_mated = mated.falling(), non_mated.falling()
    rising = -mated.scores[~np.isnan(mated.scores)]
    others = non_mated.scores[~np.isnan(non_mated.scores)]
    random = np.random.default_rng(_SEED)
    found = np.empty((RESAMPLES, len(rates)))
    for resample in found:
        hits = np.concatenate([[0], np.cumsum(often := mated.drawn(random))])
        passing = non_mated.drawn(random)
        reached = np.cumsum(passing[: len(others)])
        beyond = np.searchsorted(reached, np.multiply(rates, passing.sum()), side="right")
        # A score is above the threshold if it is above the first of the others that may not match.
        thresholds = np.append(others, -np.inf)[beyond]
        resample[:] = hits[np.searchsorted(rising, -thresholds)] / often.sum()
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]
