"""What peers do, as a child process: python -m overt_lab.bench.peers FILE FRAMES [--people]

Every picture is searched for faces at full resolution by OpenCV's FaceDetectorYN; every face is aligned and templated,
one at a time, by insightface's ArcFaceONNX on ONNX Runtime; every template is searched exactly. The weights are ours,
the graphs as their makers built them (constants are folded, or ONNX Runtime would not take them at all), the thread
counts are the libraries' own: all cores. `--people` leaves the templates out: it wants to know who is there, not how
long that takes.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from overt.models import PreparedPack, Task, graphs, package_file

from overt_lab.bench.children import tell
from overt_lab.bench.listing import random_list

# Also turns ONNX Runtime's telemetry off, before anything of insightface loads it.
from overt_lab.bench.stages import decoded, prepared_pack, worth

SMALLEST_SCORE = 0.5
"""Detect's default, so that both look for the same faces; OpenCV's own, 0.9, misses half of them."""
_FASTER = frozenset({"split_prelu"})
"""Steps of our preparation that change how long a graph takes and not what it says."""

_LARGEST_OVERLAP, _MOST_FACES = 0.3, 5000  # OpenCV's own


class Loop:
    """The peers' loop over one clip. Its time is that of its stages, not of what is noted beside."""

    def __init__(self, first: Any, *, templates: bool) -> None:
        """`first`: any of the clip's pictures; the models are run on it once, because a first run prepares."""
        from insightface.model_zoo import get_model
        from insightface.utils import face_align

        warnings.filterwarnings("ignore", category=FutureWarning, module=r"insightface\.utils\.face_align")
        prepared = prepared_pack()
        height, width = first.shape[:2]
        self._detector = cv2.FaceDetectorYN.create(
            str(prepared.detector), "", (width, height), SMALLEST_SCORE, _LARGEST_OVERLAP, _MOST_FACES
        )
        self._norm_crop = face_align.norm_crop
        self._recogniser = None
        if templates:
            # insightface prints what it loads, and our standard output is for JSON.
            with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
                graph = Path(folder) / "recogniser.onnx"
                graph.write_bytes(as_published(prepared))
                self._recogniser = get_model(str(graph), providers=["CPUExecutionProvider"], download=False)
        self._size = prepared.pack.alignment.size
        self._listed = random_list(prepared.pack.template_length)
        for row in self._find(first)[:1]:
            self._template(first, row)

    def run(self, path: Path, frames: int) -> dict[str, Any]:
        """`faces`: of every picture in the order shown x, y, width, height, and the rank of a face that passes our
        quality gate, or 0. `fps` is None without templates."""
        spent = {"decode": 0.0, "detect": 0.0, "template": 0.0}
        faces: list[list[list[float]]] = []
        video = decoded(path)
        while True:
            began = time.perf_counter()
            frame = next(video, None)
            if frame is None:
                break
            picture = frame.to_ndarray(format="bgr24")
            decoded_at = time.perf_counter()
            rows = self._find(picture)
            found_at = time.perf_counter()
            aligned = [self._template(picture, row) for row in rows]
            done_at = time.perf_counter()
            for stage, seconds in zip(
                spent, (decoded_at - began, found_at - decoded_at, done_at - found_at), strict=True
            ):
                spent[stage] += seconds
            faces.append([_noted(row, face) for row, face in zip(rows, aligned, strict=True)])
            tell(done=len(faces), of=frames)
        total = sum(spent.values())
        return {
            "fps": len(faces) / total if faces and self._recogniser is not None else None,
            "stage_ms": {stage: seconds / max(len(faces), 1) * 1e3 for stage, seconds in spent.items()},
            "faces": faces,
        }

    def _find(self, picture: Any) -> list[Any]:
        found = self._detector.detect(picture)[1]
        return [] if found is None else list(found)

    def _template(self, picture: Any, row: Any) -> Any:
        """Aligned, templated, searched; gives the aligned face."""
        aligned = self._norm_crop(picture, row[4:14].reshape(5, 2), image_size=self._size)
        if self._recogniser is not None:
            feature = self._recogniser.get_feat(aligned).reshape(-1)
            int(np.argmax(self._listed @ (feature / np.linalg.norm(feature))))
        return aligned


def as_published(prepared: PreparedPack) -> bytes:
    """The recogniser's graph without what we do to make it faster."""
    model = prepared.pack.model(Task.RECOGNITION)
    if not set(model.prepare) & _FASTER:
        return prepared.content(Task.RECOGNITION)
    steps = [step for step in model.prepare if step not in _FASTER]
    return graphs.prepare(package_file(model.source.package, model.source.resource), steps)


def _noted(row: Any, aligned: Any) -> list[float]:
    x, y, width, height = (float(v) for v in row[:4])
    rank = worth((x, y, width, height), row[4:14].reshape(5, 2).astype(np.float32), float(row[14]), aligned)
    return [round(v, 1) for v in (x, y, width, height)] + [round(rank, 6)]


def main() -> None:
    path, frames, people = Path(sys.argv[1]), int(sys.argv[2]), "--people" in sys.argv[3:]
    first = next(decoded(path)).to_ndarray(format="bgr24")
    tell(result=Loop(first, templates=not people).run(path, frames))


if __name__ == "__main__":
    main()
