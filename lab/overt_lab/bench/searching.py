"""Searches of made-up lists, through match's own index and scoring, in turn with what numpy does by itself.

Templates are random unit vectors. Half of the probes are like an entry, the others like nobody in particular: those
are the harder ones to find the best for, whose entries differ by little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from overt.cohort import Cohort, Group
from overt.scoring import SHORTLIST, STANDARD, ScoreToRate, Statistics, normalise
from overt_match.adapters.edge_index import EdgeIndexes
from overt_match.adapters.volume import DEFAULT_PLACE, IndexVolume
from overt_match.domain import Head
from overt_match.loading import LoadedList
from overt_match.rescoring import scored

Vectors = NDArray[np.float32]

LENGTH: Final = 128
"""Of a template of the pack `open`."""
COHORT: Final = 1_000
LIKE: Final = 0.6
"""Cosine of a mated probe to its entry."""
_SEED: Final = 4
_WARM_UP: Final = 20
_WORK: Final = 40_000_000
"""Entries compared with in all of a size's rounds, within the bounds of `rounds`."""


def rounds(size: int) -> int:
    """Searches of a list of that size: a 99th percentile of 150 to 1,000."""
    return int(np.clip(_WORK // size, 150, 1_000))


@dataclass(slots=True)
class Timed:
    """Seconds of every round, in their order."""

    search: list[float] = field(default_factory=list)
    index: list[float] = field(default_factory=list)
    numpy: list[float] = field(default_factory=list)


def measure(sizes: Sequence[int], on_round: Callable[[], None]) -> dict[str, Any]:
    """Figures of each size under its number, and what was searched. Retryable if there is no room for an index."""
    random = np.random.default_rng(_SEED)
    cohort = _cohort(_unit(random, COHORT))
    volume = IndexVolume(DEFAULT_PLACE)
    try:
        found = {str(size): _of_size(random, volume, cohort, size, on_round) for size in sizes}
    finally:
        volume.close()
    how = cohort.normalisation
    about = {"cohort": COHORT, "best": how.best, "a": how.a, "b": how.b, "length": LENGTH}
    return {**found, **about, "what": f"float32 templates of {LENGTH} numbers, random"}


def _of_size(
    random: np.random.Generator, volume: IndexVolume, cohort: Cohort, size: int, on_round: Callable[[], None]
) -> dict[str, Any]:
    listed = _unit(random, size)
    began = time.perf_counter()
    statistics = cohort.statistics(listed)
    judged = time.perf_counter()
    index = EdgeIndexes(volume).build(listed)
    built = time.perf_counter()
    loaded = LoadedList(Head(), {}, index, cohort=cohort, statistics=statistics)
    try:
        probes = _probes(random, listed, rounds(size))
        timed, best = _searched(loaded, listed, probes, on_round)
    finally:
        index.close()
    right = sum(int(_likest(listed, probe, statistics, cohort) == row) for probe, row in zip(probes, best, strict=True))
    return {
        **_percentiles("", timed.search),
        "recall_at_1": right / len(probes),
        **_percentiles("numpy_", timed.numpy),
        **_percentiles("index_", timed.index),
        "import_seconds": round(built - began, 3),
        "statistics_seconds": round(judged - began, 3),
        "index_seconds": round(built - judged, 3),
        "searches": len(probes),
    }


def _searched(
    loaded: LoadedList, listed: Vectors, probes: Vectors, on_round: Callable[[], None]
) -> tuple[Timed, list[int]]:
    """The times of a search, of its index alone and of numpy, whose turns change; and the rows found best."""
    assert loaded.index is not None
    timed, best = Timed(), []
    index = loaded.index
    turns: list[tuple[list[float], Callable[[Vectors], Any]]] = [
        (timed.search, lambda probe: scored(loaded, probe)),
        (timed.numpy, lambda probe: _by_numpy(listed, probe[0])),
        (timed.index, index.search),
    ]
    for probe in probes[:_WARM_UP]:
        for _, call in turns:
            call(probe[np.newaxis])
    for number, probe in enumerate(probes):
        for spent, call in turns[number % 3 :] + turns[: number % 3]:
            began = time.perf_counter()
            found = call(probe[np.newaxis])
            spent.append(time.perf_counter() - began)
            if spent is timed.search:
                best.append(found[0][0][0])
        on_round()
    return timed, best


def _by_numpy(listed: Vectors, probe: Vectors) -> NDArray[np.intp]:
    cosines = listed @ probe
    return np.argpartition(cosines, -min(SHORTLIST, len(cosines)))[-SHORTLIST:]


def _likest(listed: Vectors, probe: Vectors, statistics: Statistics, cohort: Cohort) -> int:
    """The row with the best normalised score of all."""
    of_probe = cohort.statistics(probe[np.newaxis])
    scores = normalise(listed @ probe, of_probe, statistics, cohort.normalisation)
    return int(scores.argmax())


def _probes(random: np.random.Generator, listed: Vectors, count: int) -> Vectors:
    """Every other one like an entry."""
    probes = _unit(random, count)
    mates = listed[random.integers(0, len(listed), len(probes[::2]))]
    probes[::2] = LIKE * mates + np.sqrt(1 - LIKE**2) * _unit(random, len(mates))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    return probes


def _unit(random: np.random.Generator, count: int) -> Vectors:
    vectors = random.standard_normal((count, LENGTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _cohort(templates: Vectors) -> Cohort:
    """Of nobody. Only its templates and its normalisation are asked for."""
    return Cohort(
        templates=templates,
        members=np.arange(len(templates)),
        groups=(Group("nobody", len(templates), len(templates)),),
        model_digest="",
        normalisation=STANDARD,
        score_to_rate=ScoreToRate.from_impostors(np.linspace(0, 1, 2_000)),
        source="random numbers",
        legal_basis="none: of nobody",
        created_at=datetime(2000, 1, 1, tzinfo=UTC),
    )


def _percentiles(of: str, seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {f"{of}p50_ms": round(float(p50), 4), f"{of}p99_ms": round(float(p99), 4)}
