"""A walk made in memory: two people of package pictures cross a scene, through the real engine and tracker."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from overt.reasons import Reason
from overt.testing import faces
from overt_detect.adapters.bytetrack import ByteTrack
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.analysing import Analysis, StreamAnalysis
from overt_detect.domain.acceptance import REFERENCE, SHOT
from overt_detect.domain.best_shot import SHOTS_APART_S
from overt_detect.domain.geometry import Zone
from overt_detect.enrolling import Enrolment
from overt_detect.ports import Picture, Template

pytestmark = pytest.mark.integration

_WIDTH, _HEIGHT = 960, 540
_SECONDS = 2.5
_LEFT, _RIGHT = "astronaut", "group3"


def _put(scene: Picture, person: Picture, x: float, y: float, scale: float) -> None:
    part = cv2.resize(person, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left, top = int(x), int(y)
    scene[top : top + part.shape[0], left : left + part.shape[1]] = part


def _walk() -> Iterator[tuple[float, Picture]]:
    """Frames at about 10 a second, unevenly: one comes near on the left, one crosses on the right, then nobody."""
    people, random = faces.people(), np.random.default_rng(7)
    background = cv2.resize(faces.nobody(), (_WIDTH, _HEIGHT))
    at = 0.0
    while at < _SECONDS + 1:
        scene = np.array(background, np.uint8)
        if at < _SECONDS:
            _put(scene, people[_LEFT], 60 + 40 * at, 120 + 10 * at, 0.5 + 0.25 * at)
            _put(scene, people[_RIGHT], 700 - 60 * at, 150, 0.7)
        yield at, np.asarray(np.clip(scene + random.normal(0, 3, scene.shape), 0, 255), np.uint8)
        at += 0.1 + random.uniform(-0.03, 0.05)


def _stream(engine: OnnxEngine, zone: Zone | None = None, *, everywhere: bool = False) -> StreamAnalysis:
    return StreamAnalysis(
        engine=engine,
        tracker=ByteTrack(),
        acceptance=SHOT,
        zone=zone or Zone(),
        smallest_face_px=36,
        largest_input_px=1920,
        everywhere=everywhere,
    )


@pytest.fixture(scope="module")
def references(engine: OnnxEngine) -> dict[str, Template]:
    enrolment = Enrolment(engine=engine, acceptance=REFERENCE, as_pixels=BgrPixels)
    people = faces.people()
    del people["group5"]  # looks away too far to be a reference
    return {name: enrolment.enrol(picture).template for name, picture in people.items()}


@pytest.fixture(scope="module")
def walk() -> list[tuple[float, Picture]]:
    return list(_walk())


def _shots(found: list[tuple[float, Analysis]]) -> dict[int, list[tuple[float, Template]]]:
    shots: dict[int, list[tuple[float, Template]]] = defaultdict(list)
    for at, analysis in found:
        for face in analysis.faces:
            if face.template is not None:
                shots[face.track].append((at, face.template))
    return shots


def test_each_person_is_one_track_whose_shots_are_of_that_person(
    engine: OnnxEngine, walk: list[tuple[float, Picture]], references: dict[str, Template]
) -> None:
    stream = _stream(engine)
    found = [(at, stream.analyse(lambda p=picture: BgrPixels(p), at=at)) for at, picture in walk]
    shots = _shots(found)
    assert set(shots) == {1, 2}
    for track, taken in shots.items():
        names = Counter(max(references, key=lambda n, t=t: references[n] @ t) for _, t in taken)
        assert len(names) == 1, (track, names)
        name = next(iter(names))
        assert name in (_LEFT, _RIGHT)
        assert max(references[name] @ t for _, t in taken) > 0.6
        assert taken[0][0] < 0.4, "the first shot comes with the second frame"
        assert all(b - a >= SHOTS_APART_S for (a, _), (b, _) in itertools.pairwise(taken))
        assert len(taken) <= 8
    ended = [track for _, analysis in found for track in analysis.ended]
    assert sorted(ended) == [1, 2], "each ends, once"
    assert len(found[3][1].faces) == 2


def test_pending_tracks_get_their_second_shot_soon_and_settled_ones_none(
    engine: OnnxEngine, walk: list[tuple[float, Picture]]
) -> None:
    stream = _stream(engine)
    seen: dict[int, list[float]] = defaultdict(list)
    settled: set[int] = set()
    for at, picture in walk:
        pending = [track for track, times in seen.items() if len(times) == 1]
        analysis = stream.analyse(lambda p=picture: BgrPixels(p), at=at, pending=pending, settled=settled)
        for face in analysis.faces:
            if face.template is not None:
                seen[face.track].append(at)
                if len(seen[face.track]) == 2:
                    settled.add(face.track)
            elif face.track in settled:
                assert face.refused is Reason.SETTLED
    assert sorted(seen) == [1, 2]
    for first, second in seen.values():
        assert SHOTS_APART_S <= second - first < 0.4


def test_a_person_outside_the_zone_is_seen_and_never_templated(
    engine: OnnxEngine, walk: list[tuple[float, Picture]]
) -> None:
    left_half = Zone(((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    stream = _stream(engine, left_half, everywhere=True)
    found = [(at, stream.analyse(lambda p=picture: BgrPixels(p), at=at)) for at, picture in walk]
    assert len(_shots(found)) == 1
    outside = [f for _, a in found for f in a.faces if f.face.box.centre[0] > _WIDTH / 2]
    assert len(outside) > 10
    assert {f.refused for f in outside} == {Reason.OUTSIDE_ZONE}
    assert any(f.track for f in outside), "the ledger counts them as tracks"
