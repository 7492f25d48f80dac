"""The use case Analyse, with scripted faces and a tracker that is told what to say."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt_detect.analysing import Analysis, StreamAnalysis
from overt_detect.domain.acceptance import SHOT
from overt_detect.domain.geometry import Box, Face, Landmarks, Zone
from overt_detect.ports import Picture, Template, Tracked

pytestmark = pytest.mark.unit

_LANDMARKS = np.array([[38, 52], [74, 52], [56, 72], [42, 88], [70, 88]], np.float32)
_TEXTURE = np.random.default_rng(3).integers(60, 200, (112, 112, 3)).astype(np.uint8)


def _face(x: float = 200, y: float = 100, size: float = 100, score: float = 0.9) -> Face:
    return Face(Box(x, y, size * 0.8, size), _LANDMARKS + np.float32([x, y]), score)


class _Engine:
    provider, precision = "none", "f32"

    def __init__(self) -> None:
        self.faces: list[Face] = []
        self.aligned = _TEXTURE
        self.templates = 0
        self.levelled: Face | None = None
        self.seen: list[weakref.ref[Picture]] = []

    def find(self, picture: Picture, *, width: int) -> list[Face]:
        self.seen.append(weakref.ref(picture))
        return self.faces

    def level(self, picture: Picture, face: Face) -> Face:
        return self.levelled or face

    def align(self, picture: Picture, landmarks: Landmarks) -> Picture:
        return self.aligned

    def template(self, aligned: Picture) -> Template:
        self.templates += 1
        return np.eye(1, 128, dtype=np.float32)[0]


class _Tracker:
    """Gives the faces the numbers 1, 2, ... in order, unless told otherwise."""

    def __init__(self) -> None:
        self.tracks: list[int] | None = None
        self.ended: tuple[int, ...] = ()

    def follow(self, faces: Sequence[Face], at: float) -> Tracked:
        return Tracked(tuple(self.tracks or range(1, len(faces) + 1)), self.ended)


class _Stream:
    def __init__(self, zone: Zone | None = None, smallest: float = 36) -> None:
        self.engine, self.tracker = _Engine(), _Tracker()
        self._analysis = StreamAnalysis(
            engine=self.engine,
            tracker=self.tracker,
            acceptance=SHOT,
            zone=zone or Zone(),
            smallest_face_px=smallest,
            detection_width=960,
        )

    def frame(self, at: float, *faces: Face, pending: Sequence[int] = (), settled: Sequence[int] = ()) -> Analysis:
        self.engine.faces = list(faces)
        return self._analysis.analyse(
            lambda: np.zeros((360, 640, 3), np.uint8), at=at, pending=pending, settled=settled
        )


def _reasons(analysis: Analysis) -> list[Reason | None]:
    for found in analysis.faces:
        assert (found.template is None) is (found.refused is not None), "a shot, or a reason"
    return [found.refused for found in analysis.faces]


def test_the_first_good_face_of_a_track_is_a_shot_at_once() -> None:
    stream = _Stream()
    analysis = stream.frame(10.0, _face())
    assert _reasons(analysis) == [None]
    assert analysis.faces[0].track == 1
    assert (analysis.width, analysis.height) == (640, 360)
    assert _reasons(stream.frame(10.5, _face())) == [Reason.NOT_BETTER]
    assert stream.engine.templates == 1, "only a shot costs a template"


def test_a_better_face_is_another_shot() -> None:
    stream = _Stream()
    stream.frame(10.0, _face(size=50))
    assert _reasons(stream.frame(10.5, _face(size=54))) == [Reason.NOT_BETTER]
    assert _reasons(stream.frame(11.0, _face(size=80))) == [None]


def test_a_pending_track_gets_its_next_face_and_a_settled_one_none() -> None:
    stream = _Stream()
    stream.frame(10.0, _face())
    assert _reasons(stream.frame(10.1, _face(size=60), pending=[1])) == [Reason.NOT_BETTER]
    assert _reasons(stream.frame(10.2, _face(size=60), pending=[1])) == [None]
    assert _reasons(stream.frame(10.4, _face(size=110), settled=[1])) == [Reason.SETTLED]
    assert _reasons(stream.frame(10.6, _face(size=110), pending=[1], settled=[1])) == [Reason.SETTLED]


def test_quality_comes_before_pending() -> None:
    stream = _Stream()
    stream.engine.aligned = np.full((112, 112, 3), 120, np.uint8)
    assert _reasons(stream.frame(10.0, _face(), pending=[1])) == [Reason.BLURRED]
    stream.engine.aligned = _TEXTURE // 20
    assert _reasons(stream.frame(10.0, _face(), pending=[1])) == [Reason.TOO_DARK]
    stream.engine.aligned = _TEXTURE
    assert _reasons(stream.frame(10.0, _face(score=0.6), pending=[1])) == [Reason.LOW_CONFIDENCE]


def test_every_face_is_reported_also_small_untracked_and_outside() -> None:
    zone = Zone(((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    stream = _Stream(zone)
    stream.tracker.tracks = [1, 0, 2]
    analysis = stream.frame(10.0, _face(x=50), _face(x=200, size=20), _face(x=120), _face(x=500))
    assert _reasons(analysis) == [None, Reason.TOO_SMALL, Reason.NOT_TRACKED, Reason.OUTSIDE_ZONE]
    assert [f.track for f in analysis.faces] == [1, 0, 0, 2]


def test_the_camera_says_how_small_a_face_may_be() -> None:
    assert _reasons(_Stream(smallest=18).frame(10.0, _face(size=20))) == [None]
    assert _reasons(_Stream(smallest=90).frame(10.0, _face(size=80))) == [Reason.TOO_SMALL]


def test_a_tilted_head_is_levelled_and_judged_again_before_it_is_templated() -> None:
    stream = _Stream()
    looking_away = _LANDMARKS + np.float32([[0, 0], [0, 0], [40, 0], [0, 0], [0, 0]])
    stream.engine.levelled = replace(_face(), landmarks=looking_away)
    analysis = stream.frame(10.0, _face())
    assert _reasons(analysis) == [Reason.EXTREME_POSE]
    stream.engine.levelled = replace(_face(), landmarks=_LANDMARKS + np.float32(1))
    analysis = stream.frame(10.1, _face())
    assert _reasons(analysis) == [None], "what was refused is not counted as a shot"
    assert np.array_equal(analysis.faces[0].face.landmarks, _LANDMARKS + 1)


def test_ended_tracks_are_passed_on_and_forgotten() -> None:
    stream = _Stream()
    stream.frame(10.0, _face())
    stream.tracker.ended = (1,)
    assert stream.frame(11.0).ended == (1,)
    stream.tracker.ended = ()
    assert _reasons(stream.frame(12.0, _face())) == [None], "the number means somebody else now"


def test_what_decoding_refuses_goes_through_and_the_stream_lives() -> None:
    stream = _Stream()

    def refuse() -> Picture:
        raise Rejected(Reason.TRUNCATED, "cut off")

    with pytest.raises(Rejected):
        stream._analysis.analyse(refuse, at=1.0)
    assert _reasons(stream.frame(2.0, _face())) == [None]


def test_no_pixel_and_no_template_is_kept_between_frames() -> None:
    stream = _Stream()
    analysis = stream.frame(10.0, _face())
    template = weakref.ref(analysis.faces[0].template)
    del analysis
    stream.engine.faces = []
    gc.collect()
    assert stream.engine.seen[0]() is None
    assert template() is None


def test_a_repr_shows_numbers_about_the_picture_and_never_the_person() -> None:
    analysis = _Stream().frame(10.0, _face())
    told = repr(replace(analysis, ended=(4,)))
    assert "size_px=100" in told
    assert "array" not in told
    assert "1." + "0, 0." not in told
