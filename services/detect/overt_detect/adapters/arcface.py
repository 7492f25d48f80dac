"""Alignment and recognition through insightface.

insightface's recogniser sets its session and its conventions once and changes nothing in a call, so one object
serves every thread; a test holds it to that.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from overt.errors import Fatal
from overt.models import Input

from overt_detect.adapters.graphs import Graph
from overt_detect.adapters.graphs.session import Session
from overt_detect.domain.geometry import Landmarks
from overt_detect.ports import Picture, Pixels, Template


class ArcFace:
    """Templates by insightface's ArcFaceONNX; takes blue green red and swaps the colours itself."""

    def __init__(self, graph: Graph, content: bytes, *, wanted: Input, length: int) -> None:
        """`content`: the file the graph was made from, in which insightface looks for the conventions it follows.
        Fatal when they are not those that the pack says."""
        # Imported here: it takes 0.5 s, and no rule of the domain needs it.
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from insightface.utils import face_align

        # insightface calls an estimator that scikit-image has renamed, for every face. Filters are global, so
        # this is done once: saving and restoring them around each call is not safe between threads.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"insightface\.utils\.face_align")
        model = ArcFaceONNX(model_file=io.BytesIO(content), session=Session(graph))
        model.model_file = None  # so that the bytes are let go
        found = Input("RGB", float(model.input_mean), float(model.input_std), size=_side(model.input_size))
        if found != wanted:
            raise Fatal(f"insightface would feed the recogniser as {found}, the pack says {wanted}")
        self._estimate = face_align.estimate_norm
        self._model = model
        self._size = found.size
        self._length = length

    def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
        """The face brought to the ArcFace positions, uint8[size, size, 3]: insightface's norm_crop, of the part of
        the picture that shows in it."""
        there = np.asarray(self._estimate(landmarks, self._size), np.float64)
        part = _seen(there, self._size, pixels.width, pixels.height)
        if part is None:
            return np.zeros((self._size, self._size, 3), np.uint8)
        there[:, 2] += there[:, :2] @ part[:2]
        return np.asarray(cv2.warpAffine(pixels.part(*part), there, (self._size, self._size)), np.uint8)

    def template(self, aligned: Picture) -> Template:
        """float32[length], unit length."""
        feature = np.asarray(self._model.get_feat(aligned), dtype=np.float32).reshape(-1)
        if feature.shape != (self._length,):
            raise Fatal(f"the recogniser gives {feature.size} numbers, the pack says {self._length}")
        return np.asarray(feature / np.linalg.norm(feature), dtype=np.float32)


def _seen(there: np.ndarray, size: int, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the part of a picture that an affine map brings into a square; None if there is
    none, also when landmarks in one place make no map."""
    turn = there[:, :2]
    if not np.isfinite(there).all() or abs(np.linalg.det(turn)) < 1e-9:
        return None
    # A pixel more on each side than the corners reach: between pixels the warp mixes neighbours.
    corners = np.array([(x, y) for x in (-1, size) for y in (-1, size)]) - there[:, 2]
    seen = corners @ np.linalg.inv(turn).T
    (left, top), (right, bottom) = np.floor(seen.min(axis=0)) - 1, np.ceil(seen.max(axis=0)) + 2
    part = max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))
    return part if part[2] > part[0] and part[3] > part[1] else None


def _side(size: tuple[object, ...]) -> int:
    """Of the square that the recogniser takes; 0, which no pack says, if it is none."""
    width, height = size
    return width if isinstance(width, int) and width == height else 0
