"""Whom the real engine and tracker follow and template, in scenes of people who walk about, frame by frame at 25 a
second as a decoder hands them over. Who is who is known, because the scenes are rendered."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from overt.reasons import Reason
from overt.testing import faces
from overt_detect.adapters.bytetrack import ByteTrack
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.pixels import BgrPixels, I420Pixels
from overt_detect.analysing import Analysis, Found, StreamAnalysis
from overt_detect.domain.acceptance import REFERENCE, SHOT
from overt_detect.domain.best_shot import SHOTS_APART_S
from overt_detect.domain.geometry import Zone
from overt_detect.enrolling import Enrolment
from overt_detect.ports import Picture, Template
from support.walks import RATE, WIDTH, Place, Shown, clip, straight

pytestmark = pytest.mark.integration

_ONE, _OTHER = "astronaut", "group3"


@dataclass(frozen=True, slots=True)
class Face:
    """A face as it was found, and whose it is."""

    at: float
    name: str
    found: Found = field(repr=False)

    @property
    def x(self) -> float:
        return self.found.face.box.centre[0]

    @property
    def shot(self) -> bool:
        return self.found.template is not None


@dataclass
class Walked:
    """What became of a clip."""

    faces: list[Face] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def of(self, name: str, since: float = 0, until: float = 99) -> list[Face]:
        return [face for face in self.faces if face.name == name and since <= face.at < until]

    def tracks(self, name: str, since: float = 0, until: float = 99) -> Counter[int]:
        """How many of somebody's faces are in each track; 0 is none."""
        return Counter(face.found.track for face in self.of(name, since, until))

    def shots(self, name: str, since: float = 0, until: float = 99) -> list[Face]:
        return [face for face in self.of(name, since, until) if face.shot]


def _i420(picture: Picture) -> I420Pixels:
    planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420))
    return I420Pixels(memoryview(planes.tobytes()), picture.shape[1], picture.shape[0])


def _walk(
    engine: OnnxEngine, frames: Iterable[Shown], *, zone: Zone | None = None, smallest: float = 40, settle: bool = False
) -> Walked:
    """`settle`: every track has its verdict as soon as it has a shot."""
    stream = StreamAnalysis(
        engine=engine,
        tracker=ByteTrack(),
        acceptance=SHOT,
        zone=zone or Zone(),
        smallest_face_px=smallest,
        largest_input_px=1920,
    )
    walked, settled = Walked(), set[int]()
    for shown in frames:
        analysis: Analysis = stream.analyse(lambda p=shown.picture: _i420(p), at=shown.at, settled=settled)
        scale = WIDTH / analysis.width
        for found in analysis.faces:
            x, y = found.face.box.centre
            walked.faces.append(Face(shown.at, shown.who(x * scale, y * scale), found))
            if settle and found.template is not None:
                settled.add(found.track)
        walked.ended += analysis.ended
    return walked


@pytest.fixture(scope="module")
def references(engine: OnnxEngine) -> dict[str, Template]:
    enrolment = Enrolment(engine=engine, acceptance=REFERENCE, as_pixels=BgrPixels)
    return {name: enrolment.enrol(faces.people()[name]).template for name in (_ONE, _OTHER, "group4")}


def _shots_show_whom_they_should(walked: Walked, references: dict[str, Template]) -> None:
    times: dict[int, list[float]] = defaultdict(list)
    for face in walked.faces:
        if face.shot:
            scores = {name: float(reference @ face.found.template) for name, reference in references.items()}
            assert max(scores, key=lambda name: scores[name]) == face.name, (face.at, face.name, scores)
            assert scores[face.name] > 0.5
            times[face.found.track].append(face.at)
    for taken in times.values():
        assert all(later - earlier >= SHOTS_APART_S - 1e-9 for earlier, later in itertools.pairwise(taken))


def test_a_face_that_leaves_the_zone_and_comes_back_is_the_same_and_no_shot_outside(
    engine: OnnxEngine, references: dict[str, Template]
) -> None:
    there, back = Place(560, 300, 90), Place(760, 300, 90)
    out, home = straight(there, back, 1.2), straight(back, there, 1.2, begin=1.24)
    zone = Zone(((0.4, 0), (0.52, 0), (0.52, 1), (0.4, 1)))
    edge = 0.52 * WIDTH
    walked = _walk(engine, clip({_ONE: lambda at: out(at) or home(at)}, 2.4), zone=zone)
    assert set(walked.tracks(_ONE)) == {0, 1}
    assert walked.ended == []
    outside = [face for face in walked.faces if face.x >= edge]
    assert len(outside) > 20
    assert {face.found.refused for face in outside} == {Reason.OUTSIDE_ZONE}
    assert all(face.found.quality.light is None for face in outside), "it costs nothing"
    assert {face.found.track for face in outside} == {1}, "it is followed all the same"
    inside = [face for face in walked.faces if face.x < edge]
    assert {face.found.refused for face in inside} <= {None, Reason.NOT_TRACKED, Reason.NOT_BETTER}
    assert walked.shots(_ONE, until=0.2), "the first shot comes with the second frame"
    assert 1 <= len(walked.shots(_ONE)) <= 4
    _shots_show_whom_they_should(walked, references)


def test_who_comes_back_from_far_outside_is_a_new_track_and_a_new_shot(engine: OnnxEngine) -> None:
    out = straight(Place(300, 300, 90), Place(1100, 300, 90), 1.6)
    home = straight(Place(1100, 300, 90), Place(300, 300, 90), 1.6, begin=1.64)
    zone = Zone(((0, 0), (0.4, 0), (0.4, 1), (0, 1)))
    walked = _walk(engine, clip({_ONE: lambda at: out(at) or home(at)}, 3.2), zone=zone)
    assert max(face.x for face in walked.faces) < 0.55 * WIDTH, "nobody looks there"
    assert set(walked.tracks(_ONE, until=1.6)) == {0, 1}
    assert set(walked.tracks(_ONE, since=1.6)) == {0, 2}
    assert walked.ended == [1]
    first = walked.shots(_ONE, since=1.6)[0]
    entered = next(face for face in walked.of(_ONE, since=1.6) if face.x < 0.4 * WIDTH)
    assert first.at == entered.at, "it was followed before it came in"


def test_two_people_who_cross_are_each_templated_and_never_taken_for_each_other(
    engine: OnnxEngine, references: dict[str, Template]
) -> None:
    walks = {
        _OTHER: straight(Place(150, 300, 80), Place(1130, 310, 80), 2.4),
        _ONE: straight(Place(1130, 330, 100), Place(150, 320, 100), 2.4),
    }
    walked = _walk(engine, clip(walks, 2.4))
    for name in walks:
        assert len(set(walked.tracks(name, until=1.0)) - {0}) == 1
        assert walked.shots(name, until=0.3), "each at once"
        tracks = walked.tracks(name)
        assert tracks[0] <= 6
        assert len(set(tracks) - {0}) <= 2, "at most once lost"
    assert set(walked.tracks(_ONE)) - {0} == set(walked.tracks(_ONE, until=1.0)) - {0}, (
        "whoever is in front is not lost"
    )
    assert not set(walked.tracks(_ONE)) & set(walked.tracks(_OTHER)) - {0}
    assert sum(face.shot for face in walked.faces) <= 10
    assert {face.found.refused for face in walked.faces} <= {
        None, Reason.NOT_TRACKED, Reason.NOT_BETTER, Reason.NEXT_FRAME, Reason.LOW_CONFIDENCE, Reason.EXTREME_POSE
    }  # fmt: skip
    _shots_show_whom_they_should(walked, references)


def test_who_walks_behind_another_is_followed_again_and_templated(
    engine: OnnxEngine, references: dict[str, Template]
) -> None:
    walks = {
        _OTHER: straight(Place(300, 300, 70), Place(1000, 300, 70), 2.8),
        _ONE: straight(Place(640, 330, 150), Place(650, 330, 150), 2.8),
    }
    walked = _walk(engine, clip(walks, 2.8), settle=True)
    assert len(set(walked.tracks(_ONE)) - {0}) == 1, "whoever stands in front stays the same"
    assert not set(walked.ended) & set(walked.tracks(_ONE))
    assert len(walked.shots(_ONE)) == 1, "it has its verdict, and nothing casts doubt on it"
    assert {face.found.refused for face in walked.of(_ONE)[2:]} == {Reason.SETTLED}
    hidden = [n / RATE for n in range(70) if not walked.of(_OTHER, n / RATE, (n + 0.5) / RATE)]
    assert 0.2 < len(hidden) / RATE < 1.0
    assert len(walked.shots(_OTHER, until=min(hidden))) == 1
    again = walked.shots(_OTHER, since=max(hidden))
    assert again, "nobody could know that it is the same person"
    assert again[0].at - max(hidden) < 0.4
    assert len(again) <= 2
    _shots_show_whom_they_should(walked, references)


def test_who_comes_out_from_where_another_went_in_is_templated_although_the_track_is_settled(
    engine: OnnxEngine, references: dict[str, Template]
) -> None:
    """One walks behind a post, somebody else comes out on its other side: the tracker takes them for one."""
    walks = {
        _OTHER: straight(Place(300, 300, 90), Place(640, 300, 90), 1.2),
        _ONE: straight(Place(640, 300, 90), Place(980, 300, 90), 1.2, begin=1.24),
    }
    walked = _walk(engine, clip(walks, 2.4, post=(630, 680)), settle=True)
    assert set(walked.tracks(_OTHER)) - {0} == set(walked.tracks(_ONE)) - {0} == {1}, "or this test tests nothing"
    assert len(walked.shots(_OTHER)) == 1
    assert 1 <= len(walked.shots(_ONE)) <= 2
    _shots_show_whom_they_should(walked, references)


@pytest.mark.parametrize(("smallest", "first_px", "last_px"), [(40, 52, 70), (24, 34, 50)])
def test_a_face_that_grows_is_templated_as_soon_as_it_matters_and_then_as_it_gets_better(
    engine: OnnxEngine, references: dict[str, Template], smallest: float, first_px: float, last_px: float
) -> None:
    def nearer(at: float) -> Place:
        return Place(640 + 20 * np.sin(3 * at), 330, 20 * 10 ** (at / 4))

    walked = _walk(engine, clip({_ONE: nearer}, 4.0), smallest=smallest)
    sizes = [face.found.quality.size_px for face in walked.faces]
    assert max(sizes) > 190
    small = [face for face in walked.faces if face.found.quality.size_px < smallest]
    assert {face.found.refused for face in small} == ({Reason.TOO_SMALL} if small else set())
    assert set(walked.tracks(_ONE)) == {0, 1}
    shots = walked.shots(_ONE)
    assert shots[0].found.quality.size_px < first_px
    assert 2 <= len(shots) <= 6
    assert shots[-1].found.quality.size_px > last_px
    reasons = Counter(face.found.refused for face in walked.faces)
    assert reasons[Reason.NOT_BETTER] > 0.6 * len(walked.faces)
    assert set(reasons) <= {None, Reason.TOO_SMALL, Reason.NOT_TRACKED, Reason.NOT_BETTER, Reason.LOW_CONFIDENCE}
    _shots_show_whom_they_should(walked, references)


def test_a_camera_that_changes_its_resolution_keeps_its_tracks(
    engine: OnnxEngine, references: dict[str, Template]
) -> None:
    def scaled() -> Iterable[Shown]:
        walks = {
            _ONE: straight(Place(300, 300, 100), Place(420, 310, 120), 2.4),
            _OTHER: straight(Place(900, 330, 120), Place(860, 330, 130), 2.4),
        }
        for shown in clip(walks, 2.4):
            width = WIDTH if shown.at < 0.8 else 640 if shown.at < 1.6 else 1920
            size = width, width * 9 // 16
            yield Shown(shown.at, np.asarray(cv2.resize(shown.picture, size), np.uint8), shown.places)

    walked = _walk(engine, scaled())
    for name in (_ONE, _OTHER):
        tracks = walked.tracks(name)
        assert len(set(tracks) - {0}) == 1
        assert tracks[0] == 1
        assert 1 <= len(walked.shots(name)) <= 4
        sizes = [np.median([f.found.quality.size_px for f in walked.of(name, t, t + 0.8)]) for t in (0, 0.8, 1.6)]
        assert sizes[1] / sizes[0] == pytest.approx(0.5, rel=0.15), "in the picture's own pixels"
        assert sizes[2] / sizes[0] == pytest.approx(1.5, rel=0.25)
    assert walked.ended == []
    assert {face.found.refused for face in walked.faces} <= {
        None, Reason.NOT_TRACKED, Reason.NOT_BETTER, Reason.NEXT_FRAME
    }  # fmt: skip
    _shots_show_whom_they_should(walked, references)
