"""From a score to the rate at which strangers reach it, and back: what a threshold means.

Inside the data the rate is counted. From `Tail.start` on it is rate * exp(-z - BEND * z**2), with z the distance in
scales: the tail of a normal distribution as seen from three deviations out. Its scale is fitted to the excesses there,
its bend is held: left to a few hundred excesses it is anything, and so is the rate three powers of ten further out.
On 2.7 million LFW pairs, from 318 and from 1,000 of the people, rates at 1e-5 so came out right to a third in the
median, those at 1e-6 up to three times too high (docs/accuracy.md). Every rate for which fewer than five events were
expected in the data is marked `extrapolated`.

Pairs are not independent: a person whom many resemble is in many. How far rates differ from person to person is kept
as `spread`, and the pairs count as fewer for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from overt.scoring._intervals import clopper_pearson

BEND: Final = 0.05
"""1 / (2 * 3.1**2): a normal distribution has it where one in a thousand is. With 0, an exponential tail, the rates
at 1e-6 were three to ten times too high."""

BEND_ERROR: Final = 0.025
"""One standard error of it."""

FEWEST_EXPECTED: Final = 5
"""Events in the data below which a rate is extrapolated."""

FEWEST_PAIRS: Final = 1000
_TAIL: Final = 1e-3
_FEWEST_EXCESSES: Final = 200
_KNOTS: Final = 160
_FEWEST_FOR_SPREAD: Final = 50
_OF_A_MEDIAN: Final = 2
"""Its variance, to that of the mean of exponential excesses."""

_TWO_SIDED: Final = 1.96
_FARTHEST: Final = 50.0
"""Of a logarithm: a rate that is anything need not overflow."""


class Rate(NamedTuple):
    """0..1, with its 95 % interval."""

    value: float
    low: float
    high: float
    extrapolated: bool


class Tail(NamedTuple):
    """Beyond the score `start`, which `rate` of all pairs reach. `excesses`: how many did."""

    start: float
    rate: float
    scale: float
    excesses: int

    def distance(self, score: float) -> float:
        """From the start, in scales."""
        return (score - self.start) / self.scale

    def above(self, score: float) -> float:
        """The share of all pairs."""
        z = self.distance(score)
        return self.rate * math.exp(-z - BEND * z**2)

    def score(self, rate: float) -> float:
        """The way back."""
        return self.start + self.scale * _solved(math.log(self.rate / rate))


@dataclass(frozen=True, slots=True, repr=False)
class ScoreToRate:
    """`scores`: float64[k] rising; `rates`: float64[k] falling, the share of `pairs` that reach each; `spread`:
    float64[k], how far people differ there: the variance of their own rates over the square of the mean rate.
    `people`: in the data."""

    scores: NDArray[np.float64]
    rates: NDArray[np.float64]
    spread: NDArray[np.float64]
    pairs: int
    people: int
    tail: Tail

    @classmethod
    def from_impostors(
        cls,
        scores: NDArray[Any],
        first: NDArray[np.int64] | None = None,
        second: NDArray[np.int64] | None = None,
    ) -> ScoreToRate:
        """Of the scores of pairs of two people each; `first` and `second` are their numbers, from 0, where known:
        without them the pairs count as independent. ValueError for fewer than FEWEST_PAIRS or if one is no number.
        """
        if len(scores) < FEWEST_PAIRS or not np.isfinite(scores).all():
            raise ValueError(f"takes {FEWEST_PAIRS} scores, all of them numbers")
        order = np.argsort(-scores)
        falling = scores[order].astype(np.float64)
        n = len(falling)
        ranks = np.unique(np.geomspace(1, n, _KNOTS).round().astype(np.int64))
        tail = _fitted(falling)
        knots = np.unique([*falling[ranks - 1], tail.start])
        hits = np.searchsorted(-falling, -knots, side="right")
        if first is None or second is None:
            people, spread = 0, np.zeros(len(knots))
        else:
            people = int(max(first.max(), second.max())) + 1
            spread = _spread(first[order], second[order], hits[::-1], people)[::-1]
        return cls(knots, hits / n, spread, n, people, tail)

    def fmr(self, score: float) -> Rate:
        """The false-match rate (FMR) of a threshold at that score."""
        extrapolated = False
        if score > self.tail.start:
            value = self.tail.above(score)
            extrapolated = value * self.pairs < FEWEST_EXPECTED
        elif score <= self.scores[0]:
            value = 1.0
        else:
            value = math.exp(float(np.interp(score, self.scores, np.log(self.rates))))
        low, high = self._beyond(score, value) if extrapolated else self._counted(score, value)
        return Rate(value, min(low, value), max(high, value), extrapolated)

    def score_at(self, fmr: float) -> tuple[float, bool]:
        """The lowest score whose rate is not above `fmr`, and whether it is extrapolated. ValueError outside 0..1."""
        if not 0 < fmr <= 1:
            raise ValueError("a rate to aim at is above 0 and at most 1")
        if fmr < self.tail.rate:
            return self.tail.score(fmr), fmr * self.pairs < FEWEST_EXPECTED
        return float(np.interp(-math.log(fmr), -np.log(self.rates), self.scores)), False

    def spread_at(self, score: float) -> float:
        """How far people differ at that score; beyond the data as much as where they end."""
        return float(np.interp(score, self.scores, self.spread))

    def variance(self, score: float) -> float:
        """Of the rate there, over its square: what is left open by who, and how many, were in the data.

        Pairs that share a person go together: 4/people of the spread (Hoeffding's first term), and 1/hits for the
        count itself. In the tail the count is that of the excesses; the errors of scale and bend grow with the
        distance from its start (by the derivatives of the rate's logarithm).
        """
        people = 4 * self.spread_at(score) / self.people if self.people else 0.0
        if score <= self.tail.start:
            rate = self.fmr_value(score)
            return people + (1 - rate) / (rate * self.pairs)
        z = self.tail.distance(score)
        slope = z + 2 * BEND * z**2
        return people + (1 + _OF_A_MEDIAN * slope**2) / self.tail.excesses + (BEND_ERROR * z**2) ** 2

    def fmr_value(self, score: float) -> float:
        """`fmr(score).value`, without its interval."""
        if score > self.tail.start:
            return self.tail.above(score)
        return math.exp(float(np.interp(score, self.scores, np.log(self.rates))))

    def _counted(self, score: float, rate: float) -> tuple[float, float]:
        """Clopper and Pearson's, for as many independent pairs as would leave the rate as open (Korn, Graubard)."""
        variance = self.variance(score)
        pairs = max(1.0, (1 - rate) / (rate * variance)) if variance else float(self.pairs)
        return clopper_pearson(rate * pairs, pairs)

    def _beyond(self, score: float, rate: float) -> tuple[float, float]:
        """Lognormal."""
        factor = math.exp(min(_TWO_SIDED * math.sqrt(self.variance(score)), _FARTHEST))
        return rate / factor, min(1.0, rate * factor)

    def __repr__(self) -> str:
        return f"ScoreToRate({self.pairs} pairs of {self.people} people)"


def _solved(fallen: float) -> float:
    """The z at which the logarithm of the rate has fallen by so much."""
    return (math.sqrt(1 + 4 * BEND * fallen) - 1) / (2 * BEND)


def _fitted(falling: NDArray[np.float64]) -> Tail:
    """By the median of the excesses: a handful of pairs that are one person after all do not move it."""
    n = len(falling)
    excesses = max(math.ceil(_TAIL * n), min(_FEWEST_EXCESSES, n // 5))
    start = float(falling[excesses])
    reached = int(np.searchsorted(-falling, -start, side="right"))
    median = float(np.median(falling[:excesses])) - start
    return Tail(start, reached / n, max(median, 1e-9) / _solved(math.log(2)), excesses)


def _spread(
    first: NDArray[np.int64], second: NDArray[np.int64], hits: NDArray[np.int64], people: int
) -> NDArray[np.float64]:
    """For the best `hits` pairs, rising. By factorial moments: E[h(h - 1)] = t(t - 1) q**2 for a person who hits with
    rate q in h of t pairs. Where too few hit to tell, what the last ones told."""
    trials = (np.bincount(first, minlength=people) + np.bincount(second, minlength=people)).astype(np.float64)
    possible = float((trials * (trials - 1)).sum())
    mine = np.zeros(people)
    spread = np.full(len(hits), np.nan)
    taken = 0
    for place, until in enumerate(hits):
        part = slice(taken, int(until))
        mine += np.bincount(first[part], minlength=people) + np.bincount(second[part], minlength=people)
        taken = int(until)
        if taken >= min(_FEWEST_FOR_SPREAD, len(first)):
            rate = mine.sum() / trials.sum()
            spread[place] = max(0.0, float((mine * (mine - 1)).sum()) / possible / rate**2 - 1)
    known = spread[~np.isnan(spread)]
    spread[np.isnan(spread)] = known[0]
    return spread


def fpir(fmr: float, list_size: int) -> float:
    """The chance that somebody who is not on a list reaches the threshold for at least one of its entries, if their
    scores are independent."""
    return -math.expm1(list_size * math.log1p(-fmr)) if fmr < 1 else 1.0


def fmr_for(fpir: float, list_size: int) -> float:
    """The FMR to aim at for that FPIR: `fpir`'s inverse. ValueError for no list or a rate outside 0..1."""
    if list_size < 1 or not 0 < fpir < 1:
        raise ValueError("takes a list, and a rate between 0 and 1")
    return -math.expm1(math.log1p(-fpir) / list_size)
