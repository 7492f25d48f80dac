"""YuNet on ONNX Runtime: the detector's decoding and non-maximum suppression in numpy.

The head has strides of 8, 16 and 32 pixels, one anchor a cell. Follows FaceDetectorYN of OpenCV 5
(modules/objdetect/src/face_detect.cpp): score = sqrt(cls * obj), centre and landmarks in cells from the cell's
corner, size as an exponential, padding to a multiple of 32 at the right and at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from overt_detect.adapters.ort import onnxruntime
from overt_detect.domain.geometry import Box, Face
from overt_detect.ports import Picture

STRIDES = (8, 16, 32)
_OUTPUTS = [f"{head}_{stride}" for stride in STRIDES for head in ("cls", "obj", "bbox", "kps")]
_MOST_CANDIDATES = 5000


class YuNet:
    """A detector around a shared session; keeps nothing between calls, so every thread may use it at once."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        smallest_score: float,
        largest_overlap: float = 0.3,
        multiple_of: int = 32,
    ) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._smallest_score = smallest_score
        self._largest_overlap = largest_overlap
        self._multiple_of = multiple_of

    def find(self, picture: Picture, *, width: int) -> list[Face]:
        """Every face, best score first, in the picture's pixels. The longer side is scaled down to `width`."""
        scale = min(1.0, width / max(picture.shape[:2]))
        if scale < 1:
            size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
            # The default interpolation: area averaging finds no more faces and takes four times as long.
            picture = np.asarray(cv2.resize(picture, size), dtype=np.uint8)
        (rows,) = self._rows(_blob(picture, self._multiple_of))
        rows[:, :14] /= scale
        return [_face(row) for row in rows]

    def find_each(self, crops: Sequence[Picture]) -> list[list[Face]]:
        """The same for pictures of one size, a multiple of `multiple_of`, in one go and at their own scale."""
        blob = np.asarray(cv2.dnn.blobFromImages(list(crops)), dtype=np.float32)
        return [[_face(row) for row in rows] for rows in self._rows(blob)]

    def _rows(self, blob: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        outputs = dict(zip(_OUTPUTS, self._session.run(_OUTPUTS, {self._input: blob}), strict=True))
        height, width = blob.shape[2:]
        for item in range(len(blob)):
            rows = decode({n: o[item] for n, o in outputs.items()}, height, width, self._smallest_score)
            yield rows[suppress(rows, self._largest_overlap)]


def decode(
    outputs: dict[str, NDArray[np.float32]], height: int, width: int, smallest_score: float
) -> NDArray[np.float32]:
    """Of one picture's outputs: float32[faces, 15], x, y, width, height, five landmarks x y, score; best score
    first, overlaps and all."""
    found = []
    for stride in STRIDES:
        cls, obj = outputs[f"cls_{stride}"][:, 0], outputs[f"obj_{stride}"][:, 0]
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))
        (cells,) = np.nonzero(score >= smallest_score)
        if not len(cells):
            continue
        row, column = np.divmod(cells, width // stride)
        corner = np.stack((column, row), axis=1).astype(np.float32)
        box, points = outputs[f"bbox_{stride}"][cells], outputs[f"kps_{stride}"][cells]
        centre, size = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        landmarks = (points.reshape(-1, 5, 2) + corner[:, None]) * stride
        found.append(
            np.concatenate(
                (centre - size / 2, size, landmarks.reshape(-1, 10), score[cells, None]), axis=1, dtype=np.float32
            )
        )
    if not found:
        return np.zeros((0, 15), np.float32)
    rows = np.concatenate(found)
    # An exponential of a hostile picture's making may overflow.
    rows = rows[np.isfinite(rows).all(axis=1)]
    return rows[np.argsort(-rows[:, 14], kind="stable")[:_MOST_CANDIDATES]]


def suppress(rows: NDArray[np.float32], largest_overlap: float) -> list[int]:
    """Greedy non-maximum suppression: the rows, best first, that overlap no better one by more (IoU)."""
    left, top = rows[:, 0], rows[:, 1]
    right, bottom = left + rows[:, 2], top + rows[:, 3]
    area = rows[:, 2] * rows[:, 3]
    alive = np.ones(len(rows), dtype=bool)
    kept: list[int] = []
    for i in range(len(rows)):
        if not alive[i]:
            continue
        kept.append(i)
        wide = np.minimum(right[i], right[i:]) - np.maximum(left[i], left[i:])
        high = np.minimum(bottom[i], bottom[i:]) - np.maximum(top[i], top[i:])
        common = np.clip(wide, 0, None) * np.clip(high, 0, None)
        alive[i:] &= common / (area[i] + area[i:] - common) <= largest_overlap
    return kept


def _blob(picture: Picture, multiple_of: int) -> NDArray[np.float32]:
    """float32[1, 3, H, W], padded with black to a multiple at the right and at the bottom."""
    height, width = picture.shape[:2]
    below, beside = -height % multiple_of, -width % multiple_of
    if below or beside:
        picture = np.asarray(
            cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=(0, 0, 0)), dtype=np.uint8
        )
    return np.asarray(cv2.dnn.blobFromImage(picture), dtype=np.float32)


def _face(row: NDArray[np.float32]) -> Face:
    x, y, width, height = (float(v) for v in row[:4])
    return Face(Box(x, y, width, height), row[4:14].reshape(5, 2).copy(), float(row[14]))
