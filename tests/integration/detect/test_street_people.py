"""On a street clip: everybody whom a search at full resolution finds with a usable face gets a template."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from overt_detect.adapters.bytetrack import ByteTrack
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.pixels import BgrPixels, I420Pixels
from overt_detect.analysing import StreamAnalysis
from overt_detect.domain.acceptance import SHOT
from overt_detect.domain.geometry import Box, Region, Zone
from overt_detect.domain.geometry import Face as Found
from overt_detect.domain.quality import assess, rank
from overt_lab.bench.people import Face, Person, iou, people

pytestmark = [pytest.mark.integration, pytest.mark.data]

_RATE = 25
_SCORE, _SAME = 0.6, 0.5


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> list[np.ndarray]:
    """As planes: 3 MB each."""
    with av.open(str(shared_data / "clips" / "street_1080p25.mp4")) as clip:
        return [frame.to_ndarray(format="yuv420p") for frame in clip.decode(video=0)]


def _pixels(planes: np.ndarray) -> I420Pixels:
    return I420Pixels(memoryview(planes).cast("B"), planes.shape[1], planes.shape[0] * 2 // 3)


@pytest.fixture(scope="module")
def persons(engine: OnnxEngine, frames: list[np.ndarray]) -> list[Person]:
    """By a search of every frame at full resolution, converted as a whole."""
    found = []
    for planes in frames:
        pixels = _pixels(planes)
        pixels_of_all = BgrPixels(pixels.part(0, 0, pixels.width, pixels.height))
        there = engine.find(pixels_of_all, Region.whole(pixels.width, pixels.height), 1.0)
        found.append([_judged(engine, pixels_of_all, face) for face in there if face.score >= _SCORE])
    return people(found)


def _judged(engine: OnnxEngine, pixels: BgrPixels, face: Found) -> Face:
    quality = assess(face, engine.align(pixels, face.landmarks))
    return Face(_corners(face.box), 0.0 if SHOT.refusal(quality) else rank(quality))


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x, box.y, box.width, box.height


def _seen(engine: OnnxEngine, frames: list[np.ndarray], persons: list[Person], every: int, first: int) -> list[bool]:
    stream = StreamAnalysis(
        engine=engine,
        tracker=ByteTrack(),
        acceptance=SHOT,
        zone=Zone(),
        smallest_face_px=SHOT.smallest_px,
        largest_input_px=1920,
    )
    seen, shots = [False] * len(persons), 0
    for place in range(first, len(frames), every):
        analysis = stream.analyse(lambda planes=frames[place]: _pixels(planes), at=place / _RATE)
        for found in analysis.faces:
            if found.template is None:
                continue
            shots += 1
            for number, person in enumerate(persons):
                there = person.faces.get(place)
                seen[number] |= there is not None and iou(there.box, _corners(found.face.box)) >= _SAME
    assert shots <= 3 * len(persons), "and it does not cost many templates"
    return seen


def test_everybody_is_seen_at_full_and_at_half_the_rate(
    engine: OnnxEngine, frames: list[np.ndarray], persons: list[Person]
) -> None:
    assert len(persons) >= 10
    assert all(_seen(engine, frames, persons, every=1, first=0))
    halves = [_seen(engine, frames, persons, every=2, first=first) for first in (0, 1)]
    assert all(one or other for one, other in zip(*halves, strict=True))
    assert all(sum(half) >= len(persons) - 1 for half in halves), "nobody is missed but who has four good frames"


def test_at_a_third_of_the_rate_hardly_anybody_is_missed(
    engine: OnnxEngine, frames: list[np.ndarray], persons: list[Person]
) -> None:
    thirds = [sum(_seen(engine, frames, persons, every=3, first=first)) for first in range(3)]
    assert min(thirds) >= len(persons) - 1
