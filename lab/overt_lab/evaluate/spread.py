"""How far rates of pairs may be off, when one person is in many pairs. Pure.

Pairs that share a person rise and fall together, so that a hundred thousand of them say less than as many tosses of a
coin. The design effect is how much less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from overt.scoring import Interval, clopper_pearson

Counts = NDArray[np.int64]

FEW_EVENTS = 10
"""Below it a group's own design effect is chance, and that of all groups together is taken where it is larger."""


def between_people(first: Counts, second: Counts, pictures: Counts) -> float:
    """The design effect of a rate of pairs of two people's pictures, at least 1.

    `first`, `second`: int64[events], the two people of each pair that matched; `pictures`: int64[people], how many each
    has. The variance is the sum over people of the squared sum of their pairs' deviations, less what is in it twice:
    Aronow, Samii and Assenova, Cluster-robust variance estimation for dyadic data, Political Analysis 23 (2015).
    """
    everybody = int(pictures.sum())
    partners = pictures * (everybody - pictures)
    pairs = int(partners.sum()) // 2
    events = len(first)
    if not events or events == pairs:
        return 1.0
    rate = events / pairs
    squares = pictures.astype(np.float64) ** 2
    of_person = np.bincount(first, minlength=len(pictures)) + np.bincount(second, minlength=len(pictures))
    both = np.minimum(first, second) * len(pictures) + np.maximum(first, second)
    which, often = np.unique(both, return_counts=True)
    compared = (pictures[which // len(pictures)] * pictures[which % len(pictures)]).astype(np.float64)
    all_squared = (squares.sum() ** 2 - (squares**2).sum()) / 2
    twice = ((often - rate * compared) ** 2 - (rate * compared) ** 2).sum() + rate**2 * all_squared
    variance = ((of_person - rate * partners) ** 2).sum() - twice
    return max(1.0, float(variance) / (pairs * rate * (1 - rate)))


def of_people(people: Counts, hit: NDArray[np.bool_]) -> float:
    """The design effect of a rate of pairs of one person's pictures, at least 1: people are the clusters (Korn and
    Graubard, Survey Methodology 24, 1998). `people`: int64[pairs]."""
    pairs, hits = len(people), int(hit.sum())
    if not hits or hits == pairs:
        return 1.0
    rate = hits / pairs
    _, person = np.unique(people, return_inverse=True)
    off = np.bincount(person, weights=hit - rate)
    return max(1.0, float((off**2).sum()) / (pairs * rate * (1 - rate)))


def effective(events: int, trials: int, design_effect: float, confidence: float) -> Interval:
    """Clopper and Pearson's interval of as many pairs as these are worth (Korn and Graubard)."""
    return clopper_pearson(events / design_effect, trials / design_effect, confidence)
