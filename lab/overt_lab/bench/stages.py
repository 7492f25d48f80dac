"""The stages of detect, put together in this process as its service puts them together: the one module of the bench
that knows how."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from overt.errors import Fatal
from overt.models import PreparedPack, default_directory, ensure
from overt_detect import app
from overt_detect.adapters import pixels
from overt_detect.adapters.bytetrack import ByteTrack
from overt_detect.adapters.choosing import Chosen, choose
from overt_detect.analysing import Analysis, StreamAnalysis
from overt_detect.domain.acceptance import SHOT
from overt_detect.domain.geometry import Box, Face, Zone
from overt_detect.domain.quality import assess, rank
from overt_detect.ports import Pixels
from overt_detect.settings import Settings


class Spent:
    """Processor seconds of this process by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def on(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, with its time booked on the stage. Of every thread: an engine may have its own."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.book(stage, time.process_time() - began)

        return timed

    def book(self, stage: str, seconds: float) -> None:
        self.seconds[stage] += seconds


_STEPS = {"find": "detect", "level": "level", "align": "align", "template": "template", "follow": "track"}
"""Method of an engine or a tracker -> the stage that its time is booked on."""


class _Booked:
    """An engine or a tracker whose calls are booked; everything else is its own."""

    def __init__(self, inner: object, spent: Spent) -> None:
        self._inner = inner
        for name, stage in _STEPS.items():
            if hasattr(inner, name):
                setattr(self, name, spent.on(stage, getattr(inner, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@dataclass(frozen=True, slots=True)
class Stages:
    """An engine with the settings that the service has when nobody says otherwise."""

    chosen: Chosen = field(repr=False)
    settings: Settings = field(repr=False)
    prepared: PreparedPack = field(repr=False)

    def stream(self, spent: Spent) -> StreamAnalysis:
        """The analysis of one camera, its steps booked."""
        engine: Any = _Booked(self.chosen.engine, spent)
        tracker: Any = _Booked(ByteTrack(), spent)
        return StreamAnalysis(
            engine=engine,
            tracker=tracker,
            acceptance=SHOT,
            zone=Zone(),
            smallest_face_px=self.settings.smallest_face_px,
            largest_input_px=self.settings.largest_input_px,
        )


def settings() -> Settings:
    """Detect's defaults, and where its models are: as the lab's machine tells its services."""
    found = os.environ.get("OVERT_MODEL_DIR")
    pack = os.environ.get("OVERT_MODEL_PACK", "open")
    return Settings.model_construct(model_dir=Path(found) if found else None, model_pack=pack)


def prepared_pack() -> PreparedPack:
    """Built first if it was never built here."""
    chosen = settings()
    return ensure(chosen.model_pack, chosen.model_dir or default_directory())


def build() -> Stages:
    """Loads the models and runs them once. Some seconds."""
    found, prepared = settings(), prepared_pack()
    return Stages(choose(prepared, app.wishes(found)), found, prepared)


def decoded(path: Path) -> Iterator[Any]:
    """A clip's pictures, by the decoder that ingest uses. Fatal where it is damaged."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        try:
            yield from container.decode(stream)
        except av.FFmpegError as error:
            raise Fatal(f"{path} is damaged: it cannot be decoded to its end") from error


def to_pixels(frame: Any) -> Pixels:
    """Planes in one piece of memory, as ingest hands them over."""
    planes = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
    return pixels.I420Pixels(memoryview(planes.tobytes()), frame.width, frame.height)


def worth(box: tuple[float, float, float, float], landmarks: NDArray[np.float32], score: float, aligned: Any) -> float:
    """The rank of a face that passes our quality gate, else 0."""
    acceptance = replace(SHOT, smallest_px=settings().smallest_face_px)
    quality = assess(Face(Box(*box), landmarks, score), aligned)
    return 0.0 if acceptance.refusal(quality) else max(rank(quality), 1e-6)


def shots(analysis: Analysis) -> list[tuple[int, NDArray[np.float32]]]:
    """(track, template) of every face that was templated."""
    return [(found.track, found.template) for found in analysis.faces if found.template is not None]
