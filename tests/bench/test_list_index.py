"""Search latency of the list index beside brute force in numpy, in turn in one run: `make bench`."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from overt.scoring import SHORTLIST
from overt_match.adapters.edge_index import EdgeIndexes
from overt_match.adapters.volume import DEFAULT_PLACE, IndexVolume
from overt_match.domain import Head
from overt_match.loading import LoadedList
from overt_match.rescoring import scored
from support.cohorts import cohort

pytestmark = pytest.mark.bench

LENGTH = 128
ROUNDS = 300


def _unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, LENGTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


@pytest.mark.parametrize("size", [1_000, 2_000, 10_000, 17_000])
def test_latency_and_recall(size: int) -> None:
    listed, probes = _unit(size, 1), _unit(ROUNDS, 2)
    volume = IndexVolume(DEFAULT_PLACE)
    index = EdgeIndexes(volume).build(listed)
    try:
        engine, brute, right = [], [], 0
        for row in range(ROUNDS):
            probe = probes[row : row + 1]
            engine.append(_milliseconds(lambda probe=probe: index.search(probe)))
            brute.append(_milliseconds(lambda probe=probe: np.argsort(-(listed @ probe[0]))[:SHORTLIST]))
            right += index.search(probe)[0][0].ordinal == int(np.argmax(listed @ probe[0]))
    finally:
        index.close()
        volume.close()
    p50, p99 = np.percentile(engine, [50, 99])
    print(f"\n{size:>7} entries: p50 {p50:.2f} ms, p99 {p99:.2f} ms, numpy p50 {np.median(brute):.2f} ms, ", end="")
    print(f"recall@1 {right / ROUNDS:.3f}")
    assert right == ROUNDS


@pytest.mark.parametrize("probes", [2, 8])
def test_what_a_calibration_costs(probes: int) -> None:
    """The same search without and with a cohort of 1,000, in turn."""
    listed, made = _unit(2_000, 1), cohort(1_000)
    volume = IndexVolume(DEFAULT_PLACE)
    index = EdgeIndexes(volume).build(listed)
    raw = LoadedList(Head(), {}, index)
    against = LoadedList(Head(), {}, index, cohort=made, statistics=made.statistics(listed))
    try:
        took: list[list[float]] = [[], []]
        for row in range(ROUNDS):
            track = _unit(probes, row)
            for times, loaded in zip(took, (raw, against), strict=True):
                times.append(_milliseconds(lambda loaded=loaded, track=track: scored(loaded, track)))
    finally:
        index.close()
        volume.close()
    without, with_one = (float(np.median(times)) for times in took)
    print(f"\n{probes} probes: {without:.2f} ms raw, {with_one:.2f} ms with a cohort: {with_one - without:.2f} ms more")
    assert with_one - without < 1
