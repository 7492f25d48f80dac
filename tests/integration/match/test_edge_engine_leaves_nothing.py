"""What the engine does to its files is what our adapter relies on: every word of its docstring, seen to hold."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from overt_match.adapters.edge_index import EdgeIndex, EdgeIndexes
from overt_match.adapters.volume import IndexVolume
from support.watchlists import like, unit

pytestmark = pytest.mark.integration


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "index"


@pytest.fixture
def volume(base: Path) -> Iterator[IndexVolume]:
    made = IndexVolume(base)
    yield made
    made.close()


def mapped(base: Path) -> list[str]:
    """This process's mappings of files below `base`."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if str(base) in line]


def built(volume: IndexVolume, templates: np.ndarray) -> EdgeIndex:
    index = EdgeIndexes(volume).build(templates)
    assert isinstance(index, EdgeIndex)
    return index


@pytest.mark.parametrize(
    ("count", "length"),
    [(1, 128), (2_000, 128), (17_000, 512), (140_000, 64)],
    ids=["one", "a chunk", "several chunks", "many points"],
)
def test_no_file_has_a_name_once_templates_enter_and_search_works(
    volume: IndexVolume, base: Path, monkeypatch: pytest.MonkeyPatch, count: int, length: int
) -> None:
    """17,000 x 512 needs a second file of 32 MB, which the engine would make only when it gets there; 140,000 points
    put twice would need one."""
    filled: list[tuple[bool, list[Path]]] = []
    from overt_match.adapters import edge_index

    def watched(real: Callable[[object, np.ndarray], None]) -> Callable[[object, np.ndarray], None]:
        def watching(shard: object, vectors: np.ndarray) -> None:
            filled.append((bool(vectors.any()), [p for p in volume.path.rglob("*") if p.is_file()]))
            real(shard, vectors)

        return watching

    monkeypatch.setattr(edge_index, "_fill", watched(edge_index._fill))
    monkeypatch.setattr(edge_index, "_replace", watched(edge_index._replace))
    templates = unit(count, 1, length=length)
    index = built(volume, templates)
    (zeros, _), (real_ones, files_then) = filled
    assert (zeros, real_ones, files_then) == (False, True, [])
    assert list(volume.path.iterdir()) == []
    probe = like(templates[count // 2], 0.7)
    ((best, *_),) = index.search(probe[np.newaxis])
    assert (best.ordinal, best.cosine) == (count // 2, pytest.approx(0.7, abs=1e-4))
    index.close()


def held(index: EdgeIndex, count: int) -> np.ndarray:
    """The vectors as the engine has them."""
    return np.array([r.vector for r in index._shard.retrieve(list(range(count)), False, True)], dtype=np.float32)


def test_what_the_engine_holds_is_no_template(volume: IndexVolume) -> None:
    templates = unit(500, 2)
    turned = held(built(volume, templates), 500)
    # No row is like its own template, yet all pairwise cosines are the same.
    assert np.abs(np.sum(turned * templates, axis=1)).max() < 0.5
    np.testing.assert_allclose(turned @ turned.T, templates @ templates.T, atol=1e-5)


def test_two_lives_turn_differently(volume: IndexVolume) -> None:
    templates = unit(5, 3)
    assert not np.allclose(held(built(volume, templates), 5), held(built(volume, templates), 5), atol=1e-2)


def test_closing_and_dropping_give_the_memory_back(volume: IndexVolume, base: Path) -> None:
    closed = built(volume, unit(1000, 4))
    assert mapped(base)
    closed.close()
    assert not mapped(base)
    dropped = built(volume, unit(1000, 4))
    assert mapped(base)
    del dropped
    gc.collect()
    assert not mapped(base)


_SERVES = """
import sys
from pathlib import Path
from overt_match.adapters.edge_index import EdgeIndexes
from overt_match.adapters.volume import IndexVolume
from support.watchlists import unit
index = EdgeIndexes(IndexVolume(Path(sys.argv[1]))).build(unit(2000, 5))
print(index.search(unit(2000, 5)[3:4], top=1)[0][0].ordinal, flush=True)
sys.stdin.read()
"""


def test_kill_9_leaves_no_file(base: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVES, str(base)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"3\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert [p for p in base.rglob("*") if p.is_file()] == []
