"""insightface's own detector, SCRFD, through insightface's class."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from overt.errors import Fatal
from overt.models import Input

from overt_detect.adapters.graphs import Graph, Shape
from overt_detect.adapters.graphs.session import Session
from overt_detect.domain.geometry import Box, Face, Region
from overt_detect.ports import Picture, Pixels

_OUTPUTS = 9
"""Scores, boxes and landmarks at three strides: without landmarks nothing can be aligned."""


class Scrfd:
    """A detector around a shared graph. insightface's object keeps state between its calls (anchor centres, sizes),
    so each thread has its own."""

    def __init__(self, graph: Graph, *, wanted: Input, smallest_score: float) -> None:
        """Fatal when the graph is none that finds landmarks, or the pack says it is fed otherwise."""
        from insightface.model_zoo.scrfd import SCRFD

        if len(graph.outputs) != _OUTPUTS:
            raise Fatal(f"a detector of this kind has {_OUTPUTS} outputs, this one {len(graph.outputs)}")
        self._new: Callable[[], Any] = lambda: SCRFD(session=Session(graph))
        self._smallest_score = smallest_score
        self._multiple_of = wanted.multiple_of
        self._of_this_thread = threading.local()
        model = self._mine()
        found = Input("RGB", float(model.input_mean), float(model.input_std), multiple_of=wanted.multiple_of)
        if found != wanted:
            raise Fatal(f"insightface would feed the detector as {found}, the pack says {wanted}")

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        width, height = max(1, round(region.width * scale)), max(1, round(region.height * scale))
        picture = _padded(pixels.scaled(region, width, height), self._multiple_of)
        # The picture has the input's size, so insightface scales nothing.
        size = picture.shape[1], picture.shape[0]
        boxes, landmarks = self._mine().detect(picture, input_size=size, det_thresh=self._smallest_score)
        back = np.array([region.width / width, region.height / height], np.float32)
        corner = np.array([region.left, region.top], np.float32)
        return [
            _face(box[:4].reshape(2, 2) * back + corner, points * back + corner, float(box[4]))
            for box, points in zip(boxes, landmarks, strict=True)
            if np.isfinite(box).all() and np.isfinite(points).all()
        ]

    def level(self, pixels: Pixels, face: Face) -> Face:
        """The face as it is. What `adapters/levelling.py` mends is a weakness of YuNet's landmarks."""
        return face

    def shape(self, width: int, height: int) -> Shape:
        m = self._multiple_of
        return 1, 3, height + -height % m, width + -width % m

    def _mine(self) -> Any:
        model = getattr(self._of_this_thread, "model", None)
        if model is None:
            model = self._of_this_thread.model = self._new()
        return model


def _padded(picture: Picture, multiple_of: int) -> Picture:
    height, width = picture.shape[:2]
    below, beside = -height % multiple_of, -width % multiple_of
    if not (below or beside):
        return picture
    return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_CONSTANT), np.uint8)


def _face(corners: np.ndarray, landmarks: np.ndarray, score: float) -> Face:
    (left, top), (right, bottom) = corners.tolist()
    return Face(Box(left, top, right - left, bottom - top), np.asarray(landmarks, np.float32), score)
