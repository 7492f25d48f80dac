"""A model pack on a runtime: which algorithm runs which graph."""

from __future__ import annotations

from typing import Protocol

import cv2
from overt.errors import Fatal
from overt.models import Input, Model, PreparedPack, Task

from overt_detect.adapters.arcface import ArcFace
from overt_detect.adapters.graphs import F32, Graph, Runtime, Shape
from overt_detect.adapters.scrfd import Scrfd
from overt_detect.adapters.yunet import YuNet
from overt_detect.domain.geometry import Face, Landmarks, Region
from overt_detect.ports import Picture, Pixels, Template

_ALIGNMENT = "insightface.norm_crop"


class _Detector(Protocol):
    """What each detection algorithm offers; `find` and `level` as the port Engine says."""

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]: ...

    def level(self, pixels: Pixels, face: Face) -> Face: ...

    def shape(self, width: int, height: int) -> Shape:
        """Of the blob that a search at that size makes."""
        ...


class OnnxEngine:
    """The Engine of detect, on a pack of ONNX graphs. Every thread of the pool may call it at once."""

    def __init__(
        self, prepared: PreparedPack, runtime: Runtime, *, precision: str = F32, smallest_score: float, threads: int = 1
    ) -> None:
        """Fatal when a file has changed, the runtime cannot run it, or the pack wants an algorithm that is not here.
        Takes half a second. `threads`: of OpenCV, whose setting is the process's."""
        # The pool's threads are the parallelism; OpenCV's own would fight with them.
        cv2.setNumThreads(threads)
        pack = prepared.pack
        detector, recogniser = pack.model(Task.DETECTION), pack.model(Task.RECOGNITION)
        if recogniser.algorithm != "arcface":
            raise _unknown(recogniser, "arcface")
        if pack.alignment.method != _ALIGNMENT or pack.alignment.size != recogniser.input.size:
            raise Fatal(f"the pack {pack.name} wants the alignment {pack.alignment}, there is only {_ALIGNMENT}")
        self._searching = runtime.load(prepared.content(Task.DETECTION), precision)
        self._detector = _detector(detector, self._searching, smallest_score)
        content = prepared.content(Task.RECOGNITION)
        self._face = 1, 3, pack.alignment.size, pack.alignment.size
        self._telling_apart = runtime.load(content, precision, only=self._face)
        self._recogniser = ArcFace(self._telling_apart, content, wanted=recogniser.input, length=pack.template_length)
        self.sure_px = detector.sure_face_px
        self.engine, self.provider, self.precision = runtime.engine, runtime.provider, precision

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        return self._detector.find(pixels, region, scale)

    def level(self, pixels: Pixels, face: Face) -> Face:
        return self._detector.level(pixels, face)

    def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
        return self._recogniser.align(pixels, landmarks)

    def template(self, aligned: Picture) -> Template:
        return self._recogniser.template(aligned)

    def prepare(self, width: int, height: int) -> None:
        """Makes both graphs ready for searches at that size, so that the first frame does not pay for it."""
        self._searching.prepare(self._detector.shape(width, height))
        self._telling_apart.prepare(self._face)


def _detector(model: Model, graph: Graph, smallest_score: float) -> _Detector:
    if model.algorithm == "scrfd":
        return Scrfd(graph, wanted=model.input, smallest_score=smallest_score)
    if model.algorithm != "yunet":
        raise _unknown(model, "yunet and scrfd")
    if model.input != Input("BGR", 0.0, 1.0, multiple_of=model.input.multiple_of):
        raise Fatal(f"{model.name} is fed blue green red, 0 to 255; the pack says {model.input}")
    return YuNet(graph, smallest_score=smallest_score, multiple_of=model.input.multiple_of)


def _unknown(model: Model, known: str) -> Fatal:
    return Fatal(f"{model.name} wants the algorithm {model.algorithm}, for {model.task} there is {known}")
