"""From a score to the rate at which people who are on the list do not reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from overt.scoring._intervals import clopper_pearson
from overt.scoring._rates import Rate

_KNOTS: Final = 200


@dataclass(frozen=True, slots=True, repr=False)
class MissRates:
    """`scores`: float64[k] rising; `rates`: float64[k] rising, the share of mated pairs that stay below each.
    `pairs` of `people`; the intervals count people, because the pictures of one person go together."""

    scores: NDArray[np.float64]
    rates: NDArray[np.float64]
    pairs: int
    people: int

    @classmethod
    def from_mated(cls, scores: NDArray[Any], people: int) -> MissRates:
        """Of the scores of pairs of one person each, NaN where a picture gave no template: a miss at every score.
        ValueError without any score, or with fewer pairs than people."""
        there = np.sort(scores[~np.isnan(scores)]).astype(np.float64)
        n = len(scores)
        if not len(there) or not 1 <= people <= n:
            raise ValueError("takes mated scores, and at least one for each person")
        ranks = np.unique(np.linspace(0, len(there) - 1, _KNOTS).round().astype(np.int64))
        knots = np.unique(there[ranks])
        below = np.searchsorted(there, knots, side="left") + (n - len(there))
        return cls(knots, below / n, n, people)

    def fnmr(self, score: float) -> Rate:
        """The false-non-match rate (FNMR) of a threshold at that score. `extrapolated` where fewer than one of the
        mated pairs is that low, or that high: the interval then says all there is to say."""
        beyond = score > float(self.scores[-1])
        value = 1.0 if beyond else float(np.interp(score, self.scores, self.rates))
        low, high = clopper_pearson(value * self.people, self.people)
        return Rate(value, low, high, beyond or score < float(self.scores[0]))

    def __repr__(self) -> str:
        return f"MissRates({self.pairs} pairs of {self.people} people)"
