"""Scores of pairs of two people: what a threshold is judged by. Memory is bounded by drawing pictures by seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from overt.scoring import Normalisation, ScoreToRate, normalise

from overt_lab.calibrate.leaving_out import LeavingOut
from overt_lab.evaluate.scores import Standing
from overt_lab.evaluate.templates import Templates

MOST_PICTURES: Final = 3000
"""4.5 million pairs. More are drawn from."""


@dataclass(frozen=True, slots=True, repr=False)
class Strangers:
    """Pairs of two people's pictures. `cosines`: float64[pairs]; `first`, `second`: places of their pictures, of which
    the first is taken for the reference and the second for the shot; `people`: int64[pictures], who is who; `groups`:
    int64[pictures], for pairs within groups, else empty."""

    cosines: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    people: NDArray[np.int64]
    groups: NDArray[np.int64]

    def scores(self, standing: Standing | None, how: Normalisation | None) -> NDArray[np.float64]:
        """float64[pairs]: raw without `standing`, which is that of all pictures."""
        if standing is None or how is None:
            return self.cosines
        return normalise(self.cosines, standing.shots[self.second], standing.references[self.first], how)

    def members_scores(self, without: LeavingOut, how: Normalisation) -> NDArray[np.float64]:
        """float64[pairs], of the cohort's own pictures, neither of the two in the cohort."""
        shot = without.shots.pair(self.second, self.people[self.first])
        reference = without.references.pair(self.first, self.people[self.second])
        return normalise(self.cosines, shot, reference, how)

    def rates(self, scores: NDArray[np.float64]) -> ScoreToRate:
        """Of these pairs' scores."""
        return ScoreToRate.from_impostors(scores, self.people[self.first], self.people[self.second])

    def __repr__(self) -> str:
        return f"Strangers({len(self.cosines)} pairs)"


def strangers(
    templates: Templates,
    people: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
) -> Strangers:
    """Every pair of two people of at most MOST_PICTURES; with `groups`, of one group only. No template is NaN."""
    places = np.arange(len(templates.rows))
    if len(places) > MOST_PICTURES:
        places = np.sort(np.random.default_rng(seed).permutation(places)[:MOST_PICTURES])
    i, j = np.triu_indices(len(places), 1)
    first, second = places[i], places[j]
    apart = people[first] != people[second]
    if groups is not None:
        apart &= groups[first] == groups[second]
    table = templates.references[places] @ templates.rows[places].T
    cosines = table[i[apart], j[apart]].astype(np.float64)
    _, numbers = np.unique(people, return_inverse=True)
    of_groups = np.empty(0, np.int64) if groups is None else groups
    return Strangers(cosines, first[apart], second[apart], numbers, of_groups)


def group_rates(scores: NDArray[np.float64], of_pair: NDArray[np.int64], count: int, fmr: float) -> NDArray[np.float64]:
    """float64[groups]: the share of each group's pairs above the score that `fmr` of all of them reach, with half an
    event added to each so that none is nothing."""
    threshold = np.quantile(scores, 1 - fmr)
    hits = np.bincount(of_pair[scores >= threshold], minlength=count)
    pairs = np.bincount(of_pair, minlength=count)
    rates: NDArray[np.float64] = (hits + 0.5) / (pairs + 1)
    return rates
