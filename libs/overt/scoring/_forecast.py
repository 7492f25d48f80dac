"""How many false alerts, and misses, are to be expected of a list, a street and a threshold: before anybody passes.

The rate at which strangers reach the threshold is a person's own: some resemble many. With a gamma distribution of
those rates (mean p, squared coefficient of variation V, the `spread` of the score-to-rate table), a passer-by alerts
on a list of N with the chance 1 - (1 + V N p)**(-1/V); for V = 0 that is 1 - exp(-N p). The alerts of F passers-by are
then negative-binomial: Poisson, with a rate that is itself open by what the calibration leaves open, and by who
happens to be on the list (V/N) and on the street (V/F).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from overt.scoring._intervals import Interval
from overt.scoring._misses import MissRates
from overt.scoring._rates import Rate, ScoreToRate

_TAIL: Final = 0.025
"""At either end: 95 % in between."""

_LEAST_SPREAD: Final = 1e-9

_DEVIATIONS: Final = 6.3
"""Above the mean, beyond which a count cannot be with a chance of more than _TAIL, whatever its distribution:
Cantelli's inequality, 1 / (1 + 6.3**2) < 0.025."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """For one shot of each passer-by. `fpir`: the chance that somebody who is not listed alerts; `fpir_interval`: what
    the calibration leaves open of it (95 %). `false_alerts`: the expected number; `low` and `high`: 95 % of all days
    like this lie in between, ends included. `misses`: the share of listed people who pass unnoticed; None where no
    mated pictures were calibrated with."""

    list_size: int
    footfall: int
    threshold: float
    fmr: Rate
    fpir: float
    fpir_interval: Interval
    false_alerts: float
    low: int
    high: int
    misses: Rate | None

    @property
    def extrapolated(self) -> bool:
        """The false alerts are beyond what the calibration saw."""
        return self.fmr.extrapolated


def forecast(
    rates: ScoreToRate, misses: MissRates | None, *, list_size: int, footfall: int, threshold: float
) -> Forecast:
    """`footfall`: people who pass and are not listed. ValueError for no list or nobody on the street.

    Two agreeing shots, as the decision rule asks for, make false alerts fewer and misses no fewer than this says.
    """
    if list_size < 1 or footfall < 1:
        raise ValueError("takes a list and a street")
    fmr = rates.fmr(threshold)
    spread = max(rates.spread_at(threshold), _LEAST_SPREAD)
    fpir = _fpir(fmr.value, list_size, spread)
    open_ = rates.variance(threshold) * _slope(fmr.value, list_size, spread) ** 2
    open_ += spread / list_size + spread / footfall
    mean = footfall * fpir
    return Forecast(
        list_size=list_size,
        footfall=footfall,
        threshold=threshold,
        fmr=fmr,
        fpir=fpir,
        fpir_interval=Interval(_fpir(fmr.low, list_size, spread), _fpir(fmr.high, list_size, spread)),
        false_alerts=mean,
        low=_quantile(mean, open_, _TAIL, footfall),
        high=_quantile(mean, open_, 1 - _TAIL, footfall),
        misses=None if misses is None else misses.fnmr(threshold),
    )


def _fpir(fmr: float, list_size: int, spread: float) -> float:
    return -math.expm1(-math.log1p(spread * list_size * fmr) / spread)


def _slope(fmr: float, list_size: int, spread: float) -> float:
    """By how many per cent the FPIR changes with one per cent of the FMR: at most one."""
    expected = list_size * fmr
    if expected == 0:
        return 1.0
    one_entry = math.exp((-1 / spread - 1) * math.log1p(spread * expected))
    return expected * one_entry / _fpir(fmr, list_size, spread)


def _quantile(mean: float, variance: float, chance: float, most: int) -> int:
    """The least count that is not exceeded with that chance: negative-binomial, with the variance of the rate over
    its square. At most `most`."""
    if mean <= 0:
        return 0
    shape = 1 / max(variance, 1e-12)
    farthest = mean + _DEVIATIONS * math.sqrt(mean + mean**2 * variance)
    counts = np.arange(1, min(most, math.ceil(farthest)) + 1)
    steps = np.log(shape + counts - 1) - np.log(counts) + math.log(mean / (mean + shape))
    begin = -shape * math.log1p(mean / shape)
    chances = np.exp(np.concatenate([[begin], begin + np.cumsum(steps)]))
    return min(most, int(np.searchsorted(np.cumsum(chances), chance)))
