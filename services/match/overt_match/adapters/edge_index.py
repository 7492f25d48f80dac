"""The real Qdrant engine in this process (qdrant-edge), searched exactly.

Found with qdrant-edge-py 0.9, on which this rests (each has a test):
* The engine maps its files and goes on working when they are unlinked: search, update and drop do, only flush
  fails. It makes a new file only to grow. So the shard is first filled with zeros, which makes every file it will
  need; then the directory is removed; only then do templates enter, in place. No template is ever in a file that
  has a name, and kill -9 leaves nothing.
* To put a point again writes its (empty) payload anew, into a new file from 131,000 points on; to update its vector
  does not.
* It holds the GIL while it searches or updates: threads keep the event loop fair between searches, but two
  searches do not run at once. 17,000 x 128 takes 0.8 ms.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np
import qdrant_edge as engine
from overt.scoring import SHORTLIST

from overt_match.adapters.volume import IndexVolume
from overt_match.domain import Templates, unit
from overt_match.ports import Hit, Index

_BATCH = 2000
"""Vectors an update: about 7 ms during which the event loop waits."""
_OVERHEAD_BYTES = 8 << 20
"""What an empty shard takes on the volume (2.3 MB measured), with room to spare."""


class EdgeIndexes:
    """Builds indexes on `volume`. All vectors, of lists and probes, are turned by one random rotation that exists
    only in this process's memory: cosines are the same, and what the engine holds is no template."""

    def __init__(self, volume: IndexVolume) -> None:
        self._volume = volume
        self._seed = secrets.randbits(256)
        self._rotations: dict[int, Templates] = {}

    def build(self, templates: Templates) -> Index:
        """See `Indexes`."""
        if not len(templates):
            return EdgeIndex(None, np.empty((0, 0), dtype=np.float32))
        count, length = templates.shape
        rotation = self._rotation(length)
        # Vectors, growing by chunks of 32 MB, and some 40 bytes a point for ids and versions.
        needs = templates.nbytes + 64 * count + _OVERHEAD_BYTES
        with self._volume.scratch(needs) as directory:
            shard = engine.EdgeShard.create(str(directory), _config(length))
            _fill(shard, np.zeros_like(templates))
        # The engine's dot product is the cosine at exactly 1 only.
        _replace(shard, unit(templates @ rotation))
        return EdgeIndex(shard, rotation)

    def _rotation(self, length: int) -> Templates:
        if length not in self._rotations:
            gaussian = np.random.default_rng(self._seed).standard_normal((length, length))
            self._rotations[length] = np.linalg.qr(gaussian).Q.astype(np.float32)
        return self._rotations[length]


class EdgeIndex:
    """See `Index`."""

    def __init__(self, shard: Any, rotation: Templates) -> None:
        self._shard = shard
        self._rotation = rotation
        self._closed = False
        self._lock = Lock()

    def search(self, probes: Templates, top: int = SHORTLIST) -> list[list[Hit]]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the index is closed")
            if self._shard is None:
                return [[] for _ in probes]
            if probes.shape[1] != len(self._rotation):
                raise ValueError("probe and list have templates of different lengths")
            params = engine.SearchParams(exact=True)
            found = self._shard.query_batch(
                engine.QueryBatchRequest(
                    [
                        engine.QueryRequest(query=engine.Query.Nearest(vector), limit=top, params=params)
                        for vector in unit(probes @ self._rotation).tolist()
                    ]
                )
            )
        return [sorted((Hit(p.id, p.score) for p in points), key=_best_first) for points in found]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._shard is not None:
                self._shard.close()
                self._shard = None

    def __repr__(self) -> str:
        return f"EdgeIndex(length {len(self._rotation)}{', closed' if self._closed else ''})"


def _best_first(hit: Hit) -> tuple[float, int]:
    return -hit.cosine, hit.ordinal


def _config(length: int) -> Any:
    return engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=length, distance=engine.Distance.Dot),
        # One segment, never rebuilt into a graph: a list is short enough to compare with every entry, exactly.
        optimizers=engine.EdgeOptimizersConfig(indexing_threshold=2**40, default_segment_number=1),
        wal_enabled=False,
        max_search_threads=1,
    )


def _fill(shard: Any, vectors: Templates) -> None:
    for batch in _batches(vectors):
        shard.update(engine.UpdateOperation.upsert_points([engine.Point(i, row) for i, row in batch]))


def _replace(shard: Any, vectors: Templates) -> None:
    """Of points that are there: no file grows."""
    for batch in _batches(vectors):
        shard.update(engine.UpdateOperation.update_vectors([engine.PointVectors(i, row) for i, row in batch]))


def _batches(vectors: Templates) -> Iterator[list[tuple[int, list[float]]]]:
    """Rows with their numbers."""
    for start in range(0, len(vectors), _BATCH):
        yield list(enumerate(vectors[start : start + _BATCH].tolist(), start))
