"""Scores of two templates seen against a cohort: other people's templates, who are neither on the list nor passing by.

A raw cosine means more between two faces of which the model has seen few alike in training, so one threshold on it
misfires more often on some groups of people than on others. Measured against the likest of a cohort that is balanced
over those groups, a score says how much more alike two faces are than either is to strangers.

Adaptive symmetric normalisation (as known from speaker recognition: Matejka et al., Analysis of score normalization
in multilingual speaker recognition, Interspeech 2017), with two exponents more:

    s' = ((s - a*mu_probe) / sd_probe**b + (s - a*mu_entry) / sd_entry**b) / 2

`mu` and `sd` are the mean and the deviation of a template's K best cosines to the cohort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHORTLIST: Final = 64
"""Entries of a search with the best raw cosines, which alone are scored anew. The best by normalised score was found
as far down as raw rank 18 (400 people of a balanced set, lists of about 4,000)."""

FEWEST_BEST: Final = 2
"""One score has no deviation."""

_LEAST_DEVIATION: Final = 1e-3
"""Of K best cosines: real ones have 0.02 to 0.1. A cohort of copies is not to divide by nothing."""

_TEMPLATES_AT_ONCE: Final = 1024
"""Compared with the cohort: 4 MB of cosines for a cohort of 1,000."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """`best`: K, how many of a template's cosines to the cohort count, at least 2. `a`: how much of their mean is
    taken off, 0..2. `b`: the power of their deviation that divides, 0..1; 0 leaves the scale of cosines."""

    best: int = 100
    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        if self.best < FEWEST_BEST:
            raise ValueError(f"K is at least {FEWEST_BEST}")
        if not 0 <= self.a <= 2 or not 0 <= self.b <= 1:
            raise ValueError("a is 0..2 and b is 0..1")


STANDARD: Final = Normalisation()
"""Where nothing was there to choose by: the plain rule with whole mean and whole deviation."""


@dataclass(frozen=True, slots=True, repr=False)
class Statistics:
    """Of n templates against one cohort: float64[n] each, NaN for a template that is not there. Made of biometric
    data: whoever holds the statistics of two lists can tell which people they have in common."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, places: slice | NDArray[Any]) -> Statistics:
        """Of those templates."""
        return Statistics(self.mean[places], self.deviation[places])

    def __repr__(self) -> str:
        return f"Statistics({len(self)})"


def statistics(
    templates: NDArray[np.float32],
    cohort: NDArray[np.float32],
    best: int,
    *,
    leave_out: NDArray[np.int64] | None = None,
    cohort_members: NDArray[np.int64] | None = None,
) -> Statistics:
    """Mean and deviation of the `best` highest cosines of each template to the cohort.

    `templates`: float32[n, d], `cohort`: float32[m, d], both of unit length. For templates that are themselves in the
    cohort: `leave_out[i]` is the member whose rows are not used for template i, and `cohort_members` int64[m] says
    whose row each is. The standard deviation is that of those cosines (with K, not K - 1). ValueError if a template
    has fewer than `best` rows to be compared with.
    """
    if best < FEWEST_BEST:
        raise ValueError(f"K is at least {FEWEST_BEST}")
    if (leave_out is None) != (cohort_members is None):
        raise ValueError("leaving members out takes both, who and whose rows")
    n = len(templates)
    mean, deviation = np.empty(n), np.empty(n)
    if best > len(cohort):
        raise ValueError(f"a cohort of {len(cohort)} has not {best} best")
    for at in range(0, n, _TEMPLATES_AT_ONCE):
        part = slice(at, at + _TEMPLATES_AT_ONCE)
        cosines = templates[part] @ cohort.T
        if leave_out is not None and cohort_members is not None:
            own = leave_out[part, None] == cohort_members[None, :]
            if own.sum(axis=1).max() > len(cohort) - best:
                raise ValueError(f"without one member, a cohort of {len(cohort)} has not {best} best")
            cosines[own] = -np.inf
        highest = np.partition(cosines, -best, axis=1)[:, -best:].astype(np.float64)
        mean[part] = highest.mean(axis=1)
        deviation[part] = np.maximum(highest.std(axis=1), _LEAST_DEVIATION)
    return Statistics(mean, deviation)


def normalise(
    cosines: NDArray[np.float64] | NDArray[np.float32], probe: Statistics, entry: Statistics, how: Normalisation
) -> NDArray[np.float64]:
    """s' for every cosine. The other way round it is the same: probe and entry may change places.

    `cosines` is [n, m] for n probes and m entries, or [n] for n pairs (one probe with n entries too: statistics of
    one template stand for all). NaN where a template is not there. ValueError where the shapes do not fit.
    """
    if cosines.ndim == 2:
        if cosines.shape != (len(probe), len(entry)):
            raise ValueError("a table of cosines has a row for each probe and a column for each entry")
        return _half(cosines, probe.mean[:, None], probe.deviation[:, None], how) + _half(
            cosines, entry.mean[None, :], entry.deviation[None, :], how
        )
    return _half(cosines, probe.mean, probe.deviation, how) + _half(cosines, entry.mean, entry.deviation, how)


def _half(
    cosines: NDArray[Any], mean: NDArray[np.float64], deviation: NDArray[np.float64], how: Normalisation
) -> NDArray[np.float64]:
    result: NDArray[np.float64] = (cosines - how.a * mean) / (2 * deviation**how.b)
    return result
