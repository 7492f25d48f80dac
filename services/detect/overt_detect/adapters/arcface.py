"""Alignment and recognition through insightface.

insightface's recogniser sets its session and its conventions once and changes nothing in a call, so one object
serves every thread; a test holds it to that.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from overt.errors import Fatal
from overt.models import Input

from overt_detect.adapters.ort import onnxruntime
from overt_detect.domain.geometry import Landmarks
from overt_detect.ports import Picture, Template


class ArcFace:
    """Templates by insightface's ArcFaceONNX; takes blue green red and swaps the colours itself."""

    def __init__(
        self,
        path: Path,
        *,
        wanted: Input,
        length: int,
        providers: list[str],
        options: onnxruntime.SessionOptions,
    ) -> None:
        # Imported here: it takes 0.6 s, and no rule of the domain needs it.
        from insightface.model_zoo import get_model
        from insightface.utils import face_align

        # insightface calls an estimator that scikit-image has renamed, for every face. Filters are global, so
        # this is done once: saving and restoring them around each call is not safe between threads.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"insightface\.utils\.face_align")
        model = get_model(str(path), providers=providers, sess_options=options, download=False)
        if model is None or getattr(model, "taskname", "") != "recognition":
            raise Fatal(f"insightface does not take {path} for a recognition model")
        found = Input("RGB", float(model.input_mean), float(model.input_std), size=int(model.input_size[0]))
        if found != wanted:
            raise Fatal(f"insightface would feed {path} as {found}, the pack says {wanted}")
        self._norm_crop = face_align.norm_crop
        self._model = model
        self._size = found.size
        self._length = length

    def align(self, picture: Picture, landmarks: Landmarks) -> Picture:
        """The face brought to the ArcFace positions, uint8[size, size, 3]."""
        return np.asarray(self._norm_crop(picture, landmarks, image_size=self._size), dtype=np.uint8)

    def template(self, aligned: Picture) -> Template:
        """float32[length], unit length."""
        feature = np.asarray(self._model.get_feat(aligned), dtype=np.float32).reshape(-1)
        if feature.shape != (self._length,):
            raise Fatal(f"the recogniser gives {feature.size} numbers, the pack says {self._length}")
        return np.asarray(feature / np.linalg.norm(feature), dtype=np.float32)
