"""The use case `overt evaluate fusing`: what several shots of a track, or references of an entry, gain over one.

Pictures of one person stand for both. They were taken on other days, so they are less alike than the shots of a track:
what is found of shots is more than a camera will see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from overt.cohort import Cohort
from overt.errors import Fatal
from overt.scoring import normalise

from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.metrics import FEWEST_EXPECTED_ERRORS, named
from overt_lab.evaluate.templates import Templates

FMRS = (1e-4, 1e-5)
COUNTS = (2, 3)
DRAWS = 6
"""Of which of a person's pictures are taken."""
MOST_PEOPLE = 3000
_SEED = 0

Rows = NDArray[np.float32]
Scores = NDArray[np.float64]

ONE = "one"
IN_USE = {"shots": "two that agree", "references": "the best score"}


@dataclass(frozen=True, slots=True)
class Point:
    """At the score that strangers reach with one shot and one reference at this rate: `times` as often as that they
    reach it here, and `missed` is the share of mated ones that do not. `missed_at_own`: at the score that strangers
    reach here at that rate. None where too few errors are expected."""

    fmr: float
    times: float | None
    missed: float | None
    missed_at_own: float | None


@dataclass(frozen=True, slots=True)
class Case:
    """`kind`: `shots` or `references`, and how many of `people` who have one picture more; `rules` by name."""

    kind: str
    count: int
    people: int
    rules: Mapping[str, tuple[Point, ...]]

    def figures(self) -> dict[str, Any]:
        """Rates are fractions."""
        rules = {
            name: {
                named(p.fmr): {"times": p.times, "missed": p.missed, "missed_at_own": p.missed_at_own} for p in points
            }
            for name, points in self.rules.items()
        }
        return {"people": self.people, "rules": rules}


def fuse(labels: Labels, templates: Templates, cohort: Cohort | None) -> tuple[Case, ...]:
    """Raw cosines, or normalised ones with a cohort. Fatal if nobody has three pictures, or there are too few people.

    Takes a few seconds for 2,000 people.
    """
    there = np.flatnonzero(~templates.missing)
    found = _Pictures(templates[there], np.unique(labels.subjects[there], return_inverse=True)[1], cohort)
    if len(found.first) < 2 or found.most <= COUNTS[0]:
        raise Fatal(f"this takes people with {COUNTS[0] + 1} pictures or more, and others to tell them from")
    cases = []
    for kind, scored in (("shots", found.shots), ("references", found.references)):
        for count in COUNTS:
            if found.most > count:
                drawn = [scored(count, seed) for seed in range(_SEED, _SEED + DRAWS)]
                cases.append(Case(kind, count, found.people_with(count + 1), _points(drawn)))
    return tuple(cases)


@dataclass(frozen=True, slots=True, repr=False)
class _Drawn:
    """Scores by rule: of mated ones, and of strangers."""

    own: Mapping[str, Scores]
    others: Mapping[str, Scores]


class _Pictures:
    """`first`: int64[people], everybody's first picture."""

    def __init__(self, templates: Templates, subjects: NDArray[np.int64], cohort: Cohort | None) -> None:
        self._templates = templates
        self._cohort = cohort
        self._worth = np.ones(len(subjects)) if templates.worth is None else templates.worth
        self._of = np.split(np.argsort(subjects, kind="stable"), np.cumsum(np.bincount(subjects))[:-1])
        self.first = np.array([pictures[0] for pictures in self._of[:MOST_PEOPLE]])

    @property
    def most(self) -> int:
        """Pictures of one person."""
        return max(map(len, self._of[:MOST_PEOPLE]))

    def people_with(self, pictures: int) -> int:
        return sum(len(of) >= pictures for of in self._of[:MOST_PEOPLE])

    def _several(self, pictures: int) -> NDArray[np.int64]:
        return np.array([who for who, of in enumerate(self._of[:MOST_PEOPLE]) if len(of) >= pictures])

    def shots(self, count: int, seed: int) -> _Drawn:
        """Tracks of that many of a person's later pictures against everybody's first as reference."""
        random = np.random.default_rng(seed)
        who = self._several(count + 1)
        tracks = np.array([self._of[one][1 + random.permutation(len(self._of[one]) - 1)[:count]] for one in who])
        entries = self._templates.references[self.first]
        shots = self._templates.rows[tracks]
        scores = np.stack([self._scores(shots[:, shot], entries) for shot in range(count)])
        worth = self._worth[tracks]
        worth = worth / worth.sum(axis=1, keepdims=True)
        rules = {
            ONE: scores[0],
            IN_USE["shots"]: np.sort(scores, axis=0)[-2],
            "mean score": scores.mean(axis=0),
            "mean score by quality": np.einsum("kte,tk->te", scores, worth),
            "mean template": self._scores(_unit(shots.mean(axis=1)), entries),
            "mean template by quality": self._scores(_unit(np.einsum("tkd,tk->td", shots, worth)), entries),
        }
        own = np.zeros(scores[0].shape, np.bool_)
        own[np.arange(len(who)), who] = True
        return _split(rules, own, ~own)

    def references(self, count: int, seed: int) -> _Drawn:
        """One more picture of people with that many references, and everybody's first, against those entries."""
        random = np.random.default_rng(seed)
        who = self._several(count + 1)
        drawn = np.array([self._of[one][random.permutation(len(self._of[one]))[: count + 1]] for one in who])
        probes = self._templates.rows[np.concatenate([drawn[:, count], self.first])]
        entries = self._templates.references[drawn[:, :count]]
        scores = np.stack([self._scores(probes, entries[:, reference]) for reference in range(count)])
        rules = {
            ONE: scores[0],
            IN_USE["references"]: scores.max(axis=0),
            "mean score": scores.mean(axis=0),
            "mean template": self._scores(probes, _unit(entries.mean(axis=1))),
        }
        whose = np.concatenate([who, np.arange(len(self.first))])
        own = np.zeros(scores[0].shape, np.bool_)
        own[np.arange(len(who)), np.arange(len(who))] = True
        return _split(rules, own, whose[:, None] != who[None, :])

    def _scores(self, shots: Rows, entries: Rows) -> Scores:
        cosines = shots @ entries.T
        if self._cohort is None:
            return cosines.astype(np.float64)
        of_shots, of_entries = self._cohort.statistics(shots), self._cohort.statistics(entries)
        return normalise(cosines, of_shots, of_entries, self._cohort.normalisation)


def _split(rules: Mapping[str, Scores], own: NDArray[np.bool_], others: NDArray[np.bool_]) -> _Drawn:
    return _Drawn(
        {name: table[own] for name, table in rules.items()}, {name: table[others] for name, table in rules.items()}
    )


def _points(drawn: list[_Drawn]) -> dict[str, tuple[Point, ...]]:
    """A case's rules. What few strangers would reach in a single draw is not told."""
    few = [fmr * len(drawn[0].others[ONE]) < FEWEST_EXPECTED_ERRORS for fmr in FMRS]
    falling = {name: np.sort(np.concatenate([one.others[name] for one in drawn]))[::-1] for name in drawn[0].own}
    thresholds = [_reached(falling[ONE], fmr) for fmr in FMRS]

    def of(name: str) -> Iterator[Point]:
        own = np.concatenate([one.own[name] for one in drawn])
        for fmr, threshold, unknown in zip(FMRS, thresholds, few, strict=True):
            if unknown:
                yield Point(fmr, None, None, None)
                continue
            reached = int((falling[name] > threshold).sum()) / len(falling[name])
            at_own = float((own <= _reached(falling[name], fmr)).mean())
            yield Point(fmr, reached / fmr, float((own <= threshold).mean()), at_own)

    return {name: tuple(of(name)) for name in drawn[0].own}


def _reached(falling: Scores, fmr: float) -> float:
    """The highest score that may not match, where `fmr` of them may."""
    return float(falling[int(fmr * len(falling))])


def _unit(rows: NDArray[Any]) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
