"""Every pair of pictures within each group, in bounded memory: all of one person, of two people the highest only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.scores import Places, Scorer
from overt_lab.progress import progress
from overt_lab.wording import counted

KEPT_SHARE = 0.01
"""Of all impostor pairs: ten times the highest false-match rate that is stated. The rest can never matter."""

KEPT_AT_LEAST = 100_000
_SIDE = 1024
"""Of the square of pairs that is scored at once: 8 MB of scores."""


@dataclass(slots=True, repr=False)
class Highest:
    """The highest scores of what it is given, with both pictures of each; at most twice `most` are held."""

    most: int
    floor: float = -np.inf
    _parts: list[tuple[NDArray[np.float64], Places, Places]] = field(default_factory=list)
    _held: int = 0

    def add(self, scores: NDArray[np.float64], first: Places, second: Places) -> None:
        """What is below what is already held is passed over, and so is NaN."""
        (wanted,) = np.nonzero(scores >= self.floor)
        self._parts.append((scores[wanted], first[wanted], second[wanted]))
        self._held += len(wanted)
        if self._held > 2 * self.most:
            self._prune()

    def falling(self) -> tuple[NDArray[np.float64], Places, Places]:
        """Scores and pictures, the highest first."""
        self._prune()
        scores, first, second = self._parts[0]
        order = np.argsort(-scores, kind="stable")
        return scores[order], first[order], second[order]

    def _prune(self) -> None:
        empty = (np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
        scores, first, second = (np.concatenate(column) for column in zip(empty, *self._parts, strict=True))
        if len(scores) > self.most:
            kept = np.argpartition(scores, -self.most)[-self.most :]
            scores, first, second = scores[kept], first[kept], second[kept]
            self.floor = float(scores.min())
        self._parts, self._held = [(scores, first, second)], len(scores)


@dataclass(frozen=True, slots=True, repr=False)
class Within:
    """Pairs of pictures of one group. `impostors`: int64[groups], how many pairs of two people there are, with those
    that lack a template; `scores`, falling, and `first`, `second`: the highest of them and their pictures. `genuine`:
    every pair of one person (NaN where a template is missing), and its pictures in `genuine_first`."""

    impostors: NDArray[np.int64]
    scores: NDArray[np.float64]
    first: Places
    second: Places
    genuine: NDArray[np.float64]
    genuine_first: Places


def within_groups(labels: Labels, scorer: Scorer) -> Within:
    """Takes about 20 ns a pair."""
    sizes = np.bincount(labels.groups, minlength=len(labels.group_names))
    first, second = _of_one_person(labels)
    genuine = scorer.pairs(first, second)
    impostors = sizes * (sizes - 1) // 2 - np.bincount(labels.groups[first], minlength=len(sizes))
    highest = Highest(max(KEPT_AT_LEAST, int(KEPT_SHARE * impostors.sum()) + 1))
    squares = list(_squares(labels.groups, len(sizes)))
    label = f"{scorer.name}: {counted(int(impostors.sum()), 'pair', 'pairs')} of two people"
    for rows, columns in progress(squares, label=label, length=len(squares)):
        # Of two pictures the earlier one is the reference, below as well as above.
        scores = scorer.table(columns, rows).T
        apart = labels.subjects[rows][:, None] != labels.subjects[columns][None, :]
        if rows[0] == columns[0]:
            apart &= np.tri(len(rows), len(columns), -1, dtype=np.bool_).T
        i, j = np.nonzero(apart & (scores >= highest.floor))
        highest.add(scores[i, j], rows[i], columns[j])
    return Within(impostors, *highest.falling(), genuine, first)


def _squares(groups: NDArray[np.int64], count: int) -> Iterator[tuple[Places, Places]]:
    """Every pair of a group's pictures is in one of them; in those on the diagonal it is there twice."""
    for group in range(count):
        members = np.flatnonzero(groups == group)
        parts = [members[at : at + _SIDE] for at in range(0, len(members), _SIDE)]
        for number, rows in enumerate(parts):
            for columns in parts[number:]:
                yield rows, columns


def _of_one_person(labels: Labels) -> tuple[Places, Places]:
    """Pairs of one person's pictures within a group."""
    keys = labels.subjects * len(labels.group_names) + labels.groups
    order = np.argsort(keys, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    pairs = [np.triu_indices(len(run), 1) for run in runs]
    both = [(run[i], run[j]) for run, (i, j) in zip(runs, pairs, strict=True) if len(i)]
    if not both:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate([a for a, _ in both]), np.concatenate([b for _, b in both])
