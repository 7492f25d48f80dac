"""Cohorts of people who do not exist, to calibrate lists with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from overt.cohort import Cohort, Group
from overt.scoring import MissRates, Normalisation, ScoreToRate, normalise
from support.watchlists import LENGTH, MODEL, like, unit

HOW = Normalisation(best=20, a=1.0, b=1.0)
TARGET = 1e-2
"""FPIR."""


def cohort(
    people: int = 200,
    *,
    seed: int = 700,
    near: NDArray[np.float32] | None = None,
    model_digest: str = MODEL,
    length: int = LENGTH,
    how: Normalisation = HOW,
    misses: bool = True,
    mirrored: bool = False,
) -> Cohort:
    """Of random unit vectors; with `near`, all of them at a cosine of 0.6 to that one. Its rates are those of its own
    pairs, each without those two."""
    templates = unit(people, seed, length)
    if near is not None:
        templates = np.stack([like(near, 0.6, seed=seed + i) for i in range(people)])
    members = np.arange(people)
    first, second = np.triu_indices(people, 1)
    made = Cohort(
        templates=templates,
        members=members,
        groups=(Group("one", people - people // 2, people - people // 2), Group("other", people // 2, people // 2)),
        model_digest=model_digest,
        normalisation=how,
        score_to_rate=_NORMAL,
        misses=MissRates.from_mated(np.random.default_rng(seed).normal(9, 2, 300), 100) if misses else None,
        source="nobody",
        legal_basis="none is needed",
        created_at=datetime(2026, 4, 1, tzinfo=UTC),
        mirrored=mirrored,
    )
    own = made.own_statistics()
    scores = normalise(np.einsum("ij,ij->i", templates[first], templates[second]), own[first], own[second], how)
    return replace(made, score_to_rate=ScoreToRate.from_impostors(scores, first, second))


_NORMAL = ScoreToRate.from_impostors(np.random.default_rng(0).normal(size=1000))
