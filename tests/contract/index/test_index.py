"""What every index must keep, the fake of overt.testing and the real engine alike."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from overt.scoring import SHORTLIST
from overt.testing.index import NumpyIndexes
from overt_match.adapters.edge_index import EdgeIndexes
from overt_match.adapters.volume import DEFAULT_PLACE, IndexVolume
from overt_match.ports import Indexes

pytestmark = pytest.mark.contract

LENGTH = 128


@pytest.fixture(params=["numpy", "edge"])
def indexes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Indexes]:
    if request.param == "numpy":
        yield NumpyIndexes()
        return
    volume = IndexVolume(DEFAULT_PLACE)
    yield EdgeIndexes(volume)
    volume.close()


def unit(count: int, seed: int, length: int = LENGTH) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_it_finds_what_brute_force_finds(indexes: Indexes) -> None:
    listed, probes = unit(3000, seed=1), unit(40, seed=2)
    index = indexes.build(listed)
    cosines = probes.astype(np.float64) @ listed.T.astype(np.float64)
    for row, hits in zip(cosines, index.search(probes), strict=True):
        best = np.argsort(-row)[:SHORTLIST]
        assert len(hits) == SHORTLIST
        # Neighbours closer together than float32 can tell may change places; nothing else may.
        assert len({h.ordinal for h in hits} & set(best.tolist())) >= SHORTLIST - 1
        assert hits[0].ordinal == best[0]
        np.testing.assert_allclose([h.cosine for h in hits], row[best], atol=2e-6)
        np.testing.assert_allclose([h.cosine for h in hits], [row[h.ordinal] for h in hits], atol=2e-6)


def test_a_listed_template_finds_itself(indexes: Indexes) -> None:
    listed = unit(500, seed=3)
    found = indexes.build(listed).search(listed[[7, 499, 0]], top=1)
    assert [hits[0].ordinal for hits in found] == [7, 499, 0]
    assert all(hits[0].cosine == pytest.approx(1, abs=1e-5) for hits in found)


def test_fewer_rows_than_asked_for(indexes: Indexes) -> None:
    assert len(indexes.build(unit(3, seed=4)).search(unit(1, seed=5))[0]) == 3


def test_equal_templates_come_in_the_order_of_their_ordinals(indexes: Indexes) -> None:
    same = np.repeat(unit(1, seed=6), 5, axis=0)
    (hits,) = indexes.build(same).search(same[:1])
    assert [h.ordinal for h in hits] == [0, 1, 2, 3, 4]


def test_templates_a_little_off_unit_length_still_give_cosines(indexes: Indexes) -> None:
    listed = unit(10, seed=7)
    (hits,) = indexes.build(listed * np.float32(1.0009)).search(listed[:1] * np.float32(0.9992), top=1)
    assert hits[0].cosine == pytest.approx(1, abs=1e-5)


def test_nothing_listed_finds_nothing(indexes: Indexes) -> None:
    index = indexes.build(np.empty((0, LENGTH), dtype=np.float32))
    assert index.search(unit(2, seed=8)) == [[], []]


def test_another_length_is_refused(indexes: Indexes) -> None:
    with pytest.raises(ValueError, match="length"):
        indexes.build(unit(10, seed=9)).search(unit(1, seed=10, length=64))


@pytest.mark.parametrize("length", [64, 512])
def test_any_length_of_template(indexes: Indexes, length: int) -> None:
    listed = unit(200, seed=11, length=length)
    assert indexes.build(listed).search(listed[3:4], top=1)[0][0].ordinal == 3


def test_a_closed_index_refuses_and_closes_again(indexes: Indexes) -> None:
    index = indexes.build(unit(10, seed=12))
    index.close()
    index.close()
    with pytest.raises(RuntimeError, match="closed"):
        index.search(unit(1, seed=13))


def test_searches_from_several_threads_and_several_indexes(indexes: Indexes) -> None:
    first, second = unit(300, seed=14), unit(300, seed=15)
    one, other = indexes.build(first), indexes.build(second)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda i: (one, other)[i % 2].search((first, second)[i % 2][i : i + 1]), range(200)))
    assert [hits[0].ordinal for (hits,) in answers] == list(range(200))


def test_no_repr_shows_a_template(indexes: Indexes) -> None:
    listed = unit(2, seed=16)
    index = indexes.build(listed)
    assert str(listed[0][0])[:5] not in repr(index)
    assert len(repr(index)) < 60
