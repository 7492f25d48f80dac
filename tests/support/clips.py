"""What the end-to-end tests play and look at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from overt_lab.camera import Picture, read_clip

OVERT = str(Path(sys.executable).parent / "overt")


@dataclass(frozen=True, slots=True)
class Demo:
    code: int
    figures: dict
    output: str


def run_demo(folder: Path, *arguments: str, seconds: float = 150) -> Demo:
    """`overt demo` as a user runs it."""
    figures = folder / "figures.json"
    done = subprocess.run(
        [OVERT, "demo", "--json", str(figures), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    found = json.loads(figures.read_text()) if figures.exists() else {}
    return Demo(done.returncode, found, done.stdout + done.stderr)


def frames(clip: Path) -> Iterator[Picture]:
    yield from read_clip(clip).pictures


def faces_in(picture: Picture, model: Path, threshold: float = 0.6) -> list[np.ndarray]:
    """Rows x, y, width, height, five landmarks, score: by OpenCV's own detector, not by ours."""
    height, width = picture.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(model), "", (width, height), threshold)
    found = detector.detect(picture)[1]
    return [] if found is None else list(found)


def cut(picture: Picture, face: np.ndarray, margin: float = 0.6) -> Picture:
    """The face with some of its surroundings."""
    x, y, w, h = (int(v) for v in face[:4])
    dx, dy = int(w * margin), int(h * margin)
    return np.ascontiguousarray(picture[max(0, y - dy) : y + h + dy, max(0, x - dx) : x + w + dx])


def write_picture(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
