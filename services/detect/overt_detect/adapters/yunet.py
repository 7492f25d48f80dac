"""YuNet: the detector's decoding and non-maximum suppression in numpy, around any graph.

The head has strides of 8, 16 and 32 pixels, one anchor a cell. Follows FaceDetectorYN of OpenCV 5
(modules/objdetect/src/face_detect.cpp): score = sqrt(cls * obj), centre and landmarks in cells from the cell's
corner, size as an exponential, padding to a multiple of 32 at the right and at the bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from overt_detect.adapters.blobs import blob
from overt_detect.adapters.graphs import Blob, Graph, Shape
from overt_detect.adapters.levelling import level
from overt_detect.domain.geometry import Box, Face, Region
from overt_detect.ports import Picture, Pixels

Rows = NDArray[np.float32]
"""float32[faces, 15]: x, y, width, height, five landmarks x y, score."""

STRIDES = (8, 16, 32)
_MOST_CANDIDATES = 5000


class YuNet:
    """A detector around a shared graph; keeps nothing between calls, so every thread may use it at once."""

    def __init__(
        self,
        graph: Graph,
        *,
        smallest_score: float,
        largest_overlap: float = 0.3,
        multiple_of: int = 32,
    ) -> None:
        self._graph = graph
        self._smallest_score = smallest_score
        self._largest_overlap = largest_overlap
        self._multiple_of = multiple_of

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        width, height = max(1, round(region.width * scale)), max(1, round(region.height * scale))
        (rows,) = self._rows([pixels.scaled(region, width, height)])
        rows[:, 0:14:2] *= region.width / width
        rows[:, 1:14:2] *= region.height / height
        rows[:, [0, *range(4, 14, 2)]] += region.left
        rows[:, [1, *range(5, 14, 2)]] += region.top
        return [_face(row) for row in rows]

    def find_each(self, pictures: Sequence[Picture]) -> list[list[Face]]:
        """Of several pictures of one size in one go, at their own scale."""
        return [[_face(row) for row in rows] for rows in self._rows(pictures)]

    def best_scores(self, pictures: Sequence[Picture], *, within: float) -> NDArray[np.float32]:
        """Of each of several pictures of one size, a multiple of `multiple_of`: the score of the best face whose
        centre is about `within` pixels from the middle, however low; 0 at least."""
        pixels = blob(pictures, self._multiple_of)
        height, width = pixels.shape[2:]
        stride, corner = _grid(height, width)
        off = np.abs((corner + 0.5) * stride - np.array([width, height]) / 2)
        near = off.max(axis=1) <= within + stride[:, 0] / 2
        with self._graph.seen(pixels) as outputs:
            cls, obj = (np.concatenate([outputs[f"{h}_{s}"][:, :, 0] for s in STRIDES], axis=1) for h in ("cls", "obj"))
        return np.asarray(np.sqrt((cls * obj)[:, near].max(axis=1, initial=0)), np.float32)

    def level(self, pixels: Pixels, face: Face) -> Face:
        return level(self, pixels, face)

    def shape(self, width: int, height: int) -> Shape:
        m = self._multiple_of
        return 1, 3, height + -height % m, width + -width % m

    def _rows(self, pictures: Sequence[Picture]) -> list[Rows]:
        pixels = blob(pictures, self._multiple_of)
        height, width = pixels.shape[2:]
        with self._graph.seen(pixels) as outputs:
            found = [
                decode({name: value[item] for name, value in outputs.items()}, height, width, self._smallest_score)
                for item in range(len(pixels))
            ]
        return [rows[suppress(rows, self._largest_overlap)] for rows in found]


def decode(outputs: Mapping[str, Blob], height: int, width: int, smallest_score: float) -> Rows:
    """The faces in one picture's outputs, best score first, overlaps and all. The sides are the network's input's."""
    cls, obj = (np.concatenate([outputs[f"{head}_{s}"][:, 0] for s in STRIDES]) for head in ("cls", "obj"))
    both = cls * obj
    # A hair below the bound: the few that are left are compared again as OpenCV does it.
    cells = np.flatnonzero(both >= smallest_score**2 - 1e-5)
    score = np.sqrt(np.clip(both[cells], 0, 1))
    stride, corner = (cells_of[cells] for cells_of in _grid(height, width))
    by_stride = _by_stride(cells, height, width)
    box, points = (np.concatenate([outputs[f"{head}_{s}"][here] for s, here in by_stride]) for head in ("bbox", "kps"))
    rows = np.empty((len(cells), 15), np.float32)
    with np.errstate(over="ignore"):
        np.multiply(np.exp(box[:, 2:]), stride, out=rows[:, 2:4])
    rows[:, :2] = (corner + box[:, :2]) * stride - rows[:, 2:4] / 2
    rows[:, 4:14] = ((points.reshape(-1, 5, 2) + corner[:, None]) * stride[:, None]).reshape(-1, 10)
    rows[:, 14] = score
    # An exponential of a hostile picture's making may overflow.
    rows = rows[(score >= smallest_score) & np.isfinite(rows).all(axis=1)]
    best: Rows = rows[np.argsort(-rows[:, 14], kind="stable")[:_MOST_CANDIDATES]]
    return best


def suppress(rows: Rows, largest_overlap: float) -> list[int]:
    """Greedy non-maximum suppression: the rows, best first, that overlap no better one by more (IoU)."""
    if not len(rows):
        return []
    return list(cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, 14].tolist(), 0.0, largest_overlap))


@lru_cache(maxsize=16)
def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of every cell at every stride: the stride, float32[cells, 1], and the corner in cells, float32[cells, 2]."""
    strides, corners = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack((columns.reshape(-1), rows.reshape(-1)), axis=1))
        strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(strides, dtype=np.float32), np.concatenate(corners, dtype=np.float32)


def _by_stride(cells: NDArray[np.intp], height: int, width: int) -> list[tuple[int, NDArray[np.intp]]]:
    """Cells counted over all strides, rising, as each stride and its own count."""
    sizes = [(height // stride) * (width // stride) for stride in STRIDES]
    firsts = [sum(sizes[:i]) for i in range(len(sizes))]
    parts = np.split(cells, np.searchsorted(cells, firsts[1:]))
    return [(stride, part - first) for stride, part, first in zip(STRIDES, parts, firsts, strict=True)]


def _face(row: Rows) -> Face:
    x, y, width, height = (float(v) for v in row[:4])
    return Face(Box(x, y, width, height), row[4:14].reshape(5, 2).copy(), float(row[14]))
