"""How far a rate may be from what was counted. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

CONFIDENCE = 0.95
"""Of every interval that is stated."""

_TINY = 1e-300
_CLOSE = 1e-12
_MOST_TERMS = 100_000


class Interval(NamedTuple):
    """Both ends belong to it. Fractions, 0..1."""

    low: float
    high: float


@cache
def clopper_pearson(events: float, trials: float, confidence: float = CONFIDENCE) -> Interval:
    """The exact binomial interval: at each end, so many events or more (fewer) have a chance of (1 - confidence) / 2.

    Clopper and Pearson, Biometrika 26 (1934), through the quantiles of the beta distribution. Counts that are not
    whole are welcome: effective ones of pairs that depend on one another (Korn and Graubard, 1998). ValueError if
    there are more events than trials, or no trial.
    """
    if not 0 <= events <= trials or trials <= 0:
        raise ValueError("more events than trials, or no trial")
    tail = (1 - confidence) / 2
    misses = trials - events
    low = _quantile(tail, events, misses + 1) if events > 0 else 0.0
    high = _quantile(1 - tail, events + 1, misses) if misses > 0 else 1.0
    return Interval(low, high)


def _quantile(chance: float, a: float, b: float) -> float:
    """Where the beta distribution has that chance below it."""
    return _root(lambda x: beta_cdf(x, a, b) - chance, 0.0, 1.0, a / (a + b))


def _root(rising: Callable[[float], float], low: float, high: float, at: float) -> float:
    """By the Illinois method, begun beside the mean so that few steps are needed; by halving where that crawls."""
    step = max(4 * at * (1 - at), _TINY) / 64
    f_low, f_high = -1.0, 1.0
    below, above = at, at
    while below > low and (f_low := rising(below)) > 0:
        below, step = max(low, below - step), step * 2
    step = max(4 * at * (1 - at), _TINY) / 64
    while above < high and (f_high := rising(above)) < 0:
        above, step = min(high, above + step), step * 2
    if below <= low:
        f_low = -1.0  # The last one was taken above it.
    if above >= high:
        f_high = 1.0
    low, high = below, above
    for turn in range(200):
        if high - low <= _CLOSE * max(high, _TINY):
            break
        middle = (low + high) / 2 if turn % 3 == 2 else (low * f_high - high * f_low) / (f_high - f_low)
        if not low < middle < high:
            middle = (low + high) / 2
        value = rising(middle)
        if value == 0:
            return middle
        if value < 0:
            low, f_low = middle, value
        else:
            high, f_high = middle, value
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun 26.5.8; evaluated
    by Lentz's method)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1.0 / _away(1 - (a + b) * x / (a + 1))
    whole = d
    for m in range(1, _MOST_TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1 + numerator * d)
            c = _away(1 + numerator / c)
            whole *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, math.exp(log_front) * whole / a)


def _away(value: float) -> float:
    """From zero."""
    return value if abs(value) > _TINY else _TINY
