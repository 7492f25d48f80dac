"""Recognition on the mated pictures: people of whom there are several, searched for among everybody's first picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from overt.scoring import MissRates, Normalisation, normalise

from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.scores import Standing
from overt_lab.evaluate.templates import Templates

MOST_PROBES: Final = 5
"""Of a person, as in the evaluation of identification."""

MOST_PICTURES: Final = 6000
"""With a template, drawn by seed: a table of them with 3,000 references takes 70 MB."""

FPIR: Final = 1e-2
"""At which recognition is compared: 36 probes of 3,600 set the threshold. At 1e-3 it would be three or four, and on
LFW those are pairs whose names are wrong."""


@dataclass(frozen=True, slots=True, repr=False)
class Mated:
    """`references`: int64[people], places of their first pictures; `probes`, `own`: int64[n], places of later pictures
    and of their own person in `references`; `missing`: mated pairs without both templates."""

    templates: Templates
    references: NDArray[np.int64]
    people: NDArray[np.int64]
    probes: NDArray[np.int64]
    own: NDArray[np.int64]
    missing: int

    @classmethod
    def of(cls, labels: Labels, templates: Templates, *, seed: int = 0) -> Mated:
        """A person's reference is the first picture that gave a template."""
        there = np.flatnonzero(~templates.missing)
        if len(there) > MOST_PICTURES:
            chosen = np.random.default_rng(seed).permutation(labels.people)
            order = np.argsort(chosen[labels.subjects[there]], kind="stable")
            there = np.sort(there[order[:MOST_PICTURES]])
        subjects = labels.subjects[there]
        _, first = np.unique(subjects, return_index=True)
        rank = np.zeros(len(there), np.int64)
        order = np.argsort(subjects, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(subjects[order]) > 0])
        rank[order] = np.arange(len(there)) - np.repeat(starts, np.diff(np.r_[starts, len(there)]))
        probes = np.flatnonzero((rank >= 1) & (rank <= MOST_PROBES))
        people = np.unique(subjects, return_inverse=True)[1].astype(np.int64)
        return cls(templates[there], first, people, probes, people[probes], _missing(labels, templates))

    @property
    def with_several(self) -> int:
        return len(np.unique(self.own))

    def scored(self, standing: Standing | None, how: Normalisation | None) -> NDArray[np.float64]:
        """float64[pictures, people]: every picture as a shot with every reference. `standing`: of all pictures."""
        cosines = self.templates.rows @ self.templates.references[self.references].T
        if standing is None or how is None:
            return cosines.astype(np.float64)
        return normalise(cosines, standing.shots, standing.references[self.references], how)

    def found(self, table: NDArray[np.float64]) -> NDArray[np.bool_]:
        """bool[probes]: whose own reference is best and above the threshold that FPIR of all pictures reach for
        somebody else."""
        others = table.copy()
        others[np.arange(len(table)), self.people] = -np.inf
        highest = others.max(axis=1)
        threshold = np.quantile(highest, 1 - FPIR)
        own = table[self.probes, self.own]
        found: NDArray[np.bool_] = (own > threshold) & (own > highest[self.probes])
        return found

    def misses(self, table: NDArray[np.float64]) -> MissRates:
        """A pair without a template is a miss at every score. ValueError without a person of whom there are two."""
        own = np.concatenate([table[self.probes, self.own], np.full(self.missing, np.nan)])
        return MissRates.from_mated(own, max(1, self.with_several))

    def __repr__(self) -> str:
        return f"Mated({len(self.probes)} probes of {len(self.references)} people)"


def _missing(labels: Labels, templates: Templates) -> int:
    """Pictures of people with several that gave no template."""
    several = np.bincount(labels.subjects) > 1
    return int((templates.missing & several[labels.subjects]).sum())
