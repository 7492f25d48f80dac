"""A stand-in for the engine that match searches with: the same answers, from plain numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overt.scoring import SHORTLIST


class NumpyHit(NamedTuple):
    """Equal to match's own hit: a row and a cosine."""

    ordinal: int
    cosine: float


class NumpyIndexes:
    """Makes NumpyIndex. `refuse` set to an exception: the next builds raise it."""

    def __init__(self) -> None:
        self.refuse: Exception | None = None
        self.built: list[NumpyIndex] = []

    def build(self, templates: NDArray[np.float32]) -> NumpyIndex:
        if self.refuse is not None:
            raise self.refuse
        self.built.append(NumpyIndex(templates))
        return self.built[-1]


class NumpyIndex:
    """Brute force over a copy of what was built."""

    def __init__(self, templates: NDArray[np.float32]) -> None:
        self._templates: NDArray[np.float32] | None = _unit(templates)

    @property
    def closed(self) -> bool:
        return self._templates is None

    def search(self, probes: NDArray[np.float32], top: int = SHORTLIST) -> list[list[NumpyHit]]:
        if self._templates is None:
            raise RuntimeError("the index is closed")
        if not len(self._templates):
            return [[] for _ in probes]
        if probes.shape[1] != self._templates.shape[1]:
            raise ValueError("probe and list have templates of different lengths")
        cosines = _unit(probes) @ self._templates.T
        # A stable sort: equals stay in the order of their ordinals.
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
        return [[NumpyHit(int(i), float(row[i])) for i in best] for row, best in zip(cosines, order, strict=True)]

    def close(self) -> None:
        self._templates = None

    def __repr__(self) -> str:
        return "NumpyIndex(closed)" if self.closed else "NumpyIndex()"


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(vectors):
        return vectors.copy()
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
