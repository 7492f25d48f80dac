"""May one say that groups differ, that they do not, or neither? Pure.

The rule, for rates of G groups: each has its interval at a confidence of 1 - 0.05 / G, so that all of them hold
together at 95 % (Bonferroni). A difference is shown where two of them do not touch. That none was found counts for
something only if one worth speaking of would have been: the power, the chance that this rule shows it, is computed by
drawing such counts. Without enough power the verdict is `insufficient evidence`. So it is where a group has no event
at all, or too few pairs for a rate, whatever the others show: the verdict is on all groups or on none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from overt.scoring import CONFIDENCE, Interval

SMALLEST_RATIO = 2.0
"""Of two groups' false-match rates that a set must be able to show: what the project asks of itself."""

SMALLEST_POINTS = 0.05
"""Of two groups' true-match rates, likewise."""

ENOUGH_POWER = 0.8
_DRAWS = 2_000
_SEED = 19_795


class Verdict(StrEnum):
    """ISO/IEC 19795-10 asks for differentials with their uncertainty; these are the three things to say of one."""

    NOT_SHOWN = "no difference shown"
    SHOWN = "difference shown"
    INSUFFICIENT = "insufficient evidence"


@dataclass(frozen=True, slots=True)
class Judged:
    """`power`: None where it was not asked for. `why`: one sentence for people."""

    verdict: Verdict
    power: float | None
    why: str


def each_confidence(groups: int) -> float:
    """Of one interval, so that all hold together."""
    return 1 - (1 - CONFIDENCE) / max(1, groups)


def apart(intervals: Sequence[Interval]) -> bool:
    """Whether two of them do not touch."""
    return max(one.low for one in intervals) > min(one.high for one in intervals)


def judge(
    intervals: Sequence[Interval], *, silent: Sequence[str], short: Sequence[str], power: float, what: str
) -> Judged:
    """`silent`: groups without an event; `short`: those with too few pairs for a rate. `power`: to show `what`."""
    if not intervals:
        return Judged(Verdict.INSUFFICIENT, None, "too few pairs for a rate of any group")
    if short:
        return Judged(Verdict.INSUFFICIENT, None, f"too few pairs for a rate: {_listed(short)}")
    if silent:
        return Judged(Verdict.INSUFFICIENT, None, f"not one event to go by: {_listed(silent)}")
    if apart(intervals):
        return Judged(Verdict.SHOWN, power, "the intervals of two groups do not touch")
    told = f"the chance to show {what} with this set is {100 * power:.0f} %"
    if power < ENOUGH_POWER:
        return Judged(Verdict.INSUFFICIENT, power, f"{told}, less than {100 * ENOUGH_POWER:.0f} %")
    return Judged(Verdict.NOT_SHOWN, power, told)


def power_of_ratio(trials: Sequence[float], rate: float, ratio: float = SMALLEST_RATIO) -> float:
    """The chance to show that one group's false-match rate is `ratio` times everybody else's: the worst case, over
    which group it is. `trials`: pairs of each group, by their worth (divided by the design effect). Counts are
    Poisson's, and intervals Byar's approximation of the exact ones, for many at once."""
    expected = np.multiply(trials, rate)
    draws = np.random.default_rng(_SEED)
    z = _z(len(trials))
    usual = draws.poisson(expected, (_DRAWS, len(trials)))
    raised = draws.poisson(expected * ratio, (_DRAWS, len(trials)))

    def bounds(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _byar(counts, -z) / trials, _byar(counts + 1, z) / trials

    return _least_power(bounds(usual), bounds(raised))


def power_of_points(trials: Sequence[float], rate: float, points: float = SMALLEST_POINTS) -> float:
    """The chance to show that one group's true-match rate is `points` below everybody else's, likewise. Counts are
    binomial, and intervals Wilson's."""
    whole = np.maximum(1, np.round(trials)).astype(np.int64)
    draws = np.random.default_rng(_SEED)
    z = _z(len(trials))
    usual = draws.binomial(whole, rate, (_DRAWS, len(whole)))
    lowered = draws.binomial(whole, max(0.0, rate - points), (_DRAWS, len(whole)))

    def bounds(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        share, more = counts / whole, z**2 / whole
        middle = (share + more / 2) / (1 + more)
        half = np.sqrt(share * (1 - share) * more + more**2 / 4) / (1 + more)
        return middle - half, middle + half

    return _least_power(bounds(usual), bounds(lowered))


def _least_power(
    usual: tuple[NDArray[np.float64], NDArray[np.float64]], other: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """Over which group is the other one: the smallest share of draws in which two intervals do not touch."""
    found = []
    for group in range(usual[0].shape[1]):
        low, high = usual[0].copy(), usual[1].copy()
        low[:, group], high[:, group] = other[0][:, group], other[1][:, group]
        found.append(float((low.max(axis=1) > high.min(axis=1)).mean()))
    return min(found)


def _byar(counts: NDArray[np.int64], z: float) -> NDArray[np.float64]:
    """A limit of a Poisson mean (Breslow and Day, Statistical Methods in Cancer Research II, 1987, p. 69)."""
    safe = np.maximum(counts, 1)
    limit: NDArray[np.float64] = safe * (1 - 1 / (9 * safe) + z / (3 * np.sqrt(safe))) ** 3
    return np.where(counts > 0, np.maximum(limit, 0), 0.0)


def _z(groups: int) -> float:
    return NormalDist().inv_cdf(1 - (1 - each_confidence(groups)) / 2)


def _listed(names: Sequence[str], most: int = 4) -> str:
    """Without commas between groups, whose names have some."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more
