"""Adaptive symmetric normalisation: by hand, and laws that hold for every cohort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from overt.scoring import STANDARD, Normalisation, Statistics, normalise, statistics

pytestmark = pytest.mark.unit

hows = st.builds(Normalisation, st.integers(2, 8), st.floats(0, 2), st.floats(0, 1))


def units(count: int, seed: int, length: int = 16) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, length))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_statistics_by_hand() -> None:
    cohort = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [-1, 0]], np.float32)
    found = statistics(np.array([[1, 0]], np.float32), cohort, 3)
    assert found.mean == pytest.approx([0.8])
    assert found.deviation == pytest.approx([np.std([1, 0.8, 0.6])])


def test_the_formula_by_hand() -> None:
    probe, entry = Statistics(np.array([0.3]), np.array([0.05])), Statistics(np.array([0.2]), np.array([0.1]))
    whole = normalise(np.array([0.7]), probe, entry, Normalisation(10, 1, 1))
    assert whole == pytest.approx([(0.4 / 0.05 + 0.5 / 0.1) / 2])
    twice = normalise(np.array([0.7]), probe, entry, Normalisation(10, 2, 0))
    assert twice == pytest.approx([0.7 - 0.3 - 0.2])


def test_a_member_is_left_out_with_all_its_rows() -> None:
    cohort, members = units(40, 1), np.arange(40) // 2
    left = statistics(cohort, cohort, 5, leave_out=members, cohort_members=members)
    for row in (0, 7, 39):
        others = cohort[members != members[row]]
        one = statistics(cohort[row : row + 1], others, 5)
        assert left.mean[row] == pytest.approx(one.mean[0])
        assert left.deviation[row] == pytest.approx(one.deviation[0])


@given(st.integers(0, 1000), hows)
def test_a_table_holds_what_its_pairs_have(seed: int, how: Normalisation) -> None:
    cohort, probes, entries = units(30, seed), units(4, seed + 1), units(3, seed + 2)
    of_probes, of_entries = statistics(probes, cohort, how.best), statistics(entries, cohort, how.best)
    table = normalise(probes @ entries.T, of_probes, of_entries, how)
    pairs = normalise(np.einsum("ij,ij->i", probes[:3], entries), of_probes[:3], of_entries, how)
    assert np.diag(table) == pytest.approx(pairs, abs=1e-3)


@given(st.integers(0, 1000), hows)
def test_probe_and_entry_may_change_places(seed: int, how: Normalisation) -> None:
    cohort, probes, entries = units(30, seed), units(4, seed + 1), units(3, seed + 2)
    of_probes, of_entries = statistics(probes, cohort, how.best), statistics(entries, cohort, how.best)
    cosines = probes @ entries.T
    assert np.allclose(
        normalise(cosines, of_probes, of_entries, how), normalise(cosines.T, of_entries, of_probes, how).T
    )


@given(st.integers(0, 1000), hows, st.floats(0.001, 0.5))
def test_a_higher_cosine_of_the_same_pair_scores_higher(seed: int, how: Normalisation, more: float) -> None:
    cohort, both = units(30, seed), units(2, seed + 1)
    of = statistics(both, cohort, how.best)
    low, high = (normalise(np.array([c]), of[:1], of[1:], how)[0] for c in (0.2, 0.2 + more))
    assert high > low


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_the_cohort_does_not_matter(seed: int, random: object) -> None:
    cohort, probes = units(30, seed), units(4, seed + 1)
    order = list(range(30))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = statistics(probes, cohort, 6), statistics(probes, cohort[order], 6)
    assert np.allclose(one.mean, other.mean)
    assert np.allclose(one.deviation, other.deviation, atol=1e-6)


def test_nothing_taken_off_and_nothing_divided_is_the_cosine() -> None:
    cohort, both = units(30, 3), units(2, 4)
    of = statistics(both, cohort, 2)
    assert normalise(np.array([0.37]), of[:1], of[1:], Normalisation(2, 0, 0)) == pytest.approx([0.37])


def test_a_template_that_is_not_there_has_no_score() -> None:
    templates = np.vstack([units(1, 1), np.full((1, 16), np.nan, np.float32)])
    of = statistics(templates, units(30, 2), 5)
    scores = normalise(templates @ templates.T, of, of, STANDARD)
    assert np.isnan(scores[1]).all()
    assert np.isfinite(scores[0, 0])


def test_a_cohort_of_copies_does_not_divide_by_nothing() -> None:
    cohort = np.repeat(units(1, 1), 10, axis=0)
    of = statistics(units(2, 2), cohort, 5)
    assert np.isfinite(normalise(np.array([0.9]), of[:1], of[1:], STANDARD)).all()


def test_what_cannot_be_is_refused() -> None:
    cohort, members = units(10, 1), np.zeros(10, np.int64)
    with pytest.raises(ValueError, match="has not 11"):
        statistics(cohort, cohort, 11)
    with pytest.raises(ValueError, match="without one member"):
        statistics(cohort, cohort, 2, leave_out=members, cohort_members=members)
    with pytest.raises(ValueError, match="both"):
        statistics(cohort, cohort, 2, leave_out=members)
    with pytest.raises(ValueError, match="a row for each probe"):
        normalise(np.zeros((3, 2)), Statistics(np.zeros(2), np.ones(2)), Statistics(np.zeros(2), np.ones(2)), STANDARD)
    for bad in ((1, 1, 1), (5, 2.5, 1), (5, 1, -0.1)):
        with pytest.raises(ValueError):
            Normalisation(*bad)


def test_no_repr_shows_statistics() -> None:
    of = statistics(units(3, 1), units(30, 2), 5)
    assert repr(of) == "Statistics(3)"
