"""Scores of a cohort's members as strangers would have them: for a pair, neither of the two is in the cohort.

To leave out a template's own person is not enough. Whoever it is compared with is in the cohort too, and if they are
much alike among its K best: the likest pairs would be judged against themselves, and look rarer than they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from overt.scoring import Statistics

from overt_lab.evaluate.templates import Templates


@dataclass(frozen=True, slots=True, repr=False)
class Without:
    """Of n templates of some members and one K. `sums`, `squares`: float64[n], of each template's K best cosines to
    other members; `of`, `of_squares`, `count`: [n, members], how much of that is each member's; `next`,
    `next_squares`: float64[n, r + 1], sums of the best 0..r after those K."""

    best: int
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    of: NDArray[np.float64]
    of_squares: NDArray[np.float64]
    count: NDArray[np.int64]
    next: NDArray[np.float64]
    next_squares: NDArray[np.float64]

    def pair(self, rows: NDArray[np.int64], without: NDArray[np.int64]) -> Statistics:
        """Of those templates, each without one more member. What moves up is taken from everybody else, which a
        member's rows further down may be among: with several pictures each a little too much is left in."""
        gone = self.count[rows, without]
        sums = self.sums[rows] - self.of[rows, without] + self.next[rows, gone]
        squares = self.squares[rows] - self.of_squares[rows, without] + self.next_squares[rows, gone]
        mean = sums / self.best
        return Statistics(mean, np.maximum(np.sqrt(np.maximum(squares / self.best - mean**2, 0)), 1e-3))


@dataclass(frozen=True, slots=True, repr=False)
class LeavingOut:
    """Of every picture, as a shot and as a reference."""

    shots: Without
    references: Without


def leaving_out(templates: Templates, members: NDArray[np.int64], best: int) -> LeavingOut:
    """`members`: int64[n], from 0 without gaps. A cohort is of templates as shots are. ValueError if K and one
    member's pictures are not left."""
    shots = _without(templates.rows, templates.rows, members, best)
    if templates.as_references is None:
        return LeavingOut(shots, shots)
    return LeavingOut(shots, _without(templates.as_references, templates.rows, members, best))


def _without(
    templates: NDArray[np.float32], cohort: NDArray[np.float32], members: NDArray[np.int64], best: int
) -> Without:
    most = int(np.bincount(members).max())
    if best + 2 * most > len(templates):
        raise ValueError(f"without two members, a cohort of {len(templates)} has not {best} best")
    cosines = (templates @ cohort.T).astype(np.float64)
    cosines[members[:, None] == members[None, :]] = -np.inf
    order = np.argsort(-cosines, axis=1)[:, : best + most]
    highest = np.take_along_axis(cosines, order, axis=1)
    kept, after = highest[:, :best], highest[:, best:]
    whose = members[order[:, :best]]
    shape = (len(templates), int(members.max()) + 1)
    of, of_squares, count = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    rows = np.broadcast_to(np.arange(len(templates))[:, None], whose.shape)
    np.add.at(of, (rows, whose), kept)
    np.add.at(of_squares, (rows, whose), kept**2)
    np.add.at(count, (rows, whose), 1)
    return Without(best, kept.sum(axis=1), (kept**2).sum(axis=1), of, of_squares, count, _sums(after), _sums(after**2))


def _sums(of: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((len(of), 1)), np.cumsum(of, axis=1)], axis=1)
