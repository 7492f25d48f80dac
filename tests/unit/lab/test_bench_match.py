"""`overt bench match` without the engine: what it is asked for, what it searches for, and what it tells."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
import pytest
from overt.scoring import normalise
from overt_lab.bench import match, searching
from overt_lab.bench.cli import _sizes

pytestmark = pytest.mark.unit

CONTEXT = click.Context(click.Command("match"))
PARAMETER = click.Option(["--sizes"])


def _figures(**of: float) -> dict[str, Any]:
    timed = {"p50_ms": 0.4, "p99_ms": 0.8, "index_p50_ms": 0.3, "numpy_p50_ms": 0.2, "numpy_p99_ms": 0.3}
    return {**timed, "recall_at_1": 1.0, "import_seconds": 0.25, **of}


def test_sizes_are_numbers_in_rising_order() -> None:
    assert _sizes(CONTEXT, PARAMETER, "10000,1000,1000") == [1_000, 10_000]


@pytest.mark.parametrize("given", ["", "many", "1000,", "99", "1000,5000000", "-1000"])
def test_what_is_no_size_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter):
        _sizes(CONTEXT, PARAMETER, given)


def test_the_table_has_a_row_for_each_size() -> None:
    about = {"cohort": 1000, "best": 100, "a": 1.0, "b": 1.0, "what": "templates", "commit": None}
    found = {"sizes": [1_000, 1_000_000], "1000": _figures(), "1000000": _figures(p50_ms=70.0), **about}
    told = match.text(found).splitlines()
    assert told[1] == "exact search, one core, templates, commit unknown"
    head, first, second = told[-3:]
    assert head.split()[0] == "entries"
    assert first.split() == ["1,000", "0.25", "0.400", "0.800", "0.300", "0.200", "0.300", "2.00", "1.0000"]
    assert second.split()[0] == "1,000,000"
    assert {len(line) for line in (first, second)} == {len(head)}


def test_large_lists_are_searched_less_often_and_often_enough() -> None:
    assert [searching.rounds(size) for size in (100, 10_000, 100_000, 4_000_000)] == [1_000, 1_000, 400, 150]


def test_every_other_probe_is_like_an_entry() -> None:
    random = np.random.default_rng(0)
    listed = searching._unit(random, 500)
    probes = searching._probes(random, listed, 41)
    assert np.linalg.norm(probes, axis=1) == pytest.approx(1, abs=1e-5)
    nearest = (probes @ listed.T).max(axis=1)
    # Two unit vectors drawn at random are nearly, not quite, at right angles.
    assert nearest[::2].mean() == pytest.approx(searching.LIKE, abs=0.05)
    assert nearest[::2].min() > nearest[1::2].max()


def test_the_best_is_that_of_all_normalised_scores() -> None:
    random = np.random.default_rng(1)
    listed, (probe,) = searching._unit(random, 300), searching._unit(random, 1)
    cohort = searching._cohort(searching._unit(random, 200))
    statistics = cohort.statistics(listed)
    scores = [
        normalise(listed[row : row + 1] @ probe, cohort.statistics(probe[None]), statistics[row : row + 1], how)[0]
        for how in [cohort.normalisation]
        for row in range(300)
    ]
    assert searching._likest(listed, probe, statistics, cohort) == int(np.argmax(scores))
