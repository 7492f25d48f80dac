"""A model pack on ONNX Runtime: which algorithm runs which graph, and on what."""

from __future__ import annotations

import cv2
import numpy as np
from overt.errors import Fatal
from overt.models import Model, PreparedPack, Task

from overt_detect.adapters.arcface import ArcFace
from overt_detect.adapters.levelling import level
from overt_detect.adapters.ort import onnxruntime
from overt_detect.adapters.yunet import YuNet
from overt_detect.domain.geometry import Face, Landmarks
from overt_detect.ports import Picture, Template

_ALIGNMENT = "insightface.norm_crop"


class OnnxEngine:
    """The Engine of detect. Its sessions are shared: every thread of the pool may call it at once."""

    precision = "f32"

    def __init__(self, prepared: PreparedPack, *, provider: str, threads: int, smallest_score: float) -> None:
        """Fatal when the provider is not there, or the pack wants an algorithm that is not. Takes a second."""
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise Fatal(f"OVERT_EXECUTION_PROVIDER: there is no {provider} here, only {', '.join(available)}")
        # The pool's threads are the parallelism; OpenCV's own would fight with them.
        cv2.setNumThreads(threads)
        pack = prepared.pack
        detector, recogniser = pack.model(Task.DETECTION), pack.model(Task.RECOGNITION)
        _check(detector, "yunet")
        _check(recogniser, "arcface")
        if pack.alignment.method != _ALIGNMENT or pack.alignment.size != recogniser.input.size:
            raise Fatal(f"the pack {pack.name} wants the alignment {pack.alignment}, there is only {_ALIGNMENT}")
        session = onnxruntime.InferenceSession(str(prepared.detector), _options(threads), providers=[provider])
        if session.get_providers()[0] != provider:
            raise Fatal(f"OVERT_EXECUTION_PROVIDER: {provider} does not run {detector.name} on this machine")
        self._detector = YuNet(session, smallest_score=smallest_score, multiple_of=detector.input.multiple_of)
        self._recogniser = ArcFace(
            prepared.recogniser,
            wanted=recogniser.input,
            length=pack.template_length,
            providers=[provider],
            options=_options(threads),
        )
        self._size = pack.alignment.size
        self.provider = provider

    def find(self, picture: Picture, *, width: int) -> list[Face]:
        return self._detector.find(picture, width=width)

    def level(self, picture: Picture, face: Face) -> Face:
        return level(self._detector, picture, face)

    def align(self, picture: Picture, landmarks: Landmarks) -> Picture:
        return self._recogniser.align(picture, landmarks)

    def template(self, aligned: Picture) -> Template:
        return self._recogniser.template(aligned)

    def warm(self, *, width: int) -> None:
        """Runs both graphs once, so that the first frame does not pay for their first run."""
        self.find(np.full((width * 9 // 16, width, 3), 127, np.uint8), width=width)
        self.template(np.full((self._size, self._size, 3), 127, np.uint8))


def _check(model: Model, algorithm: str) -> None:
    if model.algorithm != algorithm:
        raise Fatal(f"{model.name} wants the algorithm {model.algorithm}, for {model.task} there is {algorithm}")


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the processor from whoever works: measured, twice as slow.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
