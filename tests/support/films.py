"""Clips as files, made in a test's own directory from pictures that installed packages ship."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from overt_lab.demo.people import Picture, demo_people
from overt_lab.demo.scene import FRAMES_PER_SECOND, plan, render

SEED = 7


def write_film(path: Path, pictures: Iterable[Picture], frames_per_second: float, *, bframes: int = 0) -> Path:
    """H.264 in MP4, as a camera makes it: one key frame at the start, and no picture that refers to a later one."""
    rate = Fraction(frames_per_second).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20", "g": "500", "sc_threshold": "0", "bf": str(bframes)}
        for number, picture in enumerate(pictures):
            if not number:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def two_walkers(path: Path, *, frames: int = 30) -> Path:
    """Two people who walk side by side, near enough to be listed; 1280 x 720, 12.5 frames/s."""
    walks = plan(demo_people()[:2], SEED)
    found = []
    for number, picture in enumerate(render(walks, SEED)):
        if len(found) == frames:
            break
        if number >= 18:  # by then both are large enough
            found.append(picture)
    return write_film(path, found, FRAMES_PER_SECOND)


def grey(count: int, width: int = 320, height: int = 240) -> list[Picture]:
    """Pictures of nobody, each a little lighter than the one before."""
    return [np.full((height, width, 3), 60 + place, np.uint8) for place in range(count)]
