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
from overt_detect.domain.best_shot import REFRESH_S
from overt_detect.domain.geometry import Box, Face, Landmarks, Region, Zone
from overt_detect.ports import Picture, Pixels, Template, Tracked

pytestmark = pytest.mark.unit

_LANDMARKS = np.array([[38, 52], [74, 52], [56, 72], [42, 88], [70, 88]], np.float32)
_TEXTURE = np.random.default_rng(3).integers(60, 200, (112, 112, 3)).astype(np.uint8)


def _face(x: float = 200, y: float = 100, size: float = 100, score: float = 0.9) -> Face:
    return Face(Box(x, y, size * 0.8, size), _LANDMARKS + np.float32([x, y]), score)


class _Pixels:
    width, height = 640, 360

    def scaled(self, region: Region, width: int, height: int) -> Picture:
        raise AssertionError("only the engine looks at pixels")

    def part(self, left: int, top: int, right: int, bottom: int) -> Picture:
        raise AssertionError("only the engine looks at pixels")


class _Engine:
    sure_px = 20.0

    def __init__(self) -> None:
        self.faces: list[Face] = []
        self.light = _TEXTURE
        self.aligned = 0
        self.templates = 0
        self.looked_closer = 0
        self.levelled: Face | None = None
        self.asked: list[tuple[Region, float]] = []
        self.seen: list[weakref.ref[Pixels]] = []

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        self.seen.append(weakref.ref(pixels))
        self.asked.append((region, scale))
        return self.faces

    def level(self, pixels: Pixels, face: Face) -> Face:
        self.looked_closer += 1
        return self.levelled or face

    def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
        self.aligned += 1
        return self.light

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
    def __init__(
        self, zone: Zone | None = None, smallest: float = 36, largest: int = 1920, everywhere: bool = False
    ) -> None:
        self.engine, self.tracker = _Engine(), _Tracker()
        self._analysis = StreamAnalysis(
            engine=self.engine,
            tracker=self.tracker,
            acceptance=SHOT,
            zone=zone or Zone(),
            smallest_face_px=smallest,
            largest_input_px=largest,
            everywhere=everywhere,
        )

    def frame(self, at: float, *faces: Face, pending: Sequence[int] = (), settled: Sequence[int] = ()) -> Analysis:
        self.engine.faces = list(faces)
        return self._analysis.analyse(_Pixels, at=at, pending=pending, settled=settled)


def _reasons(analysis: Analysis) -> list[Reason | None]:
    for found in analysis.faces:
        assert found.template is None or found.quality.light is not None
        assert (found.template is None) is (found.refused is not None), "a shot, or a reason"
    return [found.refused for found in analysis.faces]


def test_the_first_good_face_of_a_track_is_a_shot_at_once() -> None:
    stream = _Stream()
    analysis = stream.frame(10.0, _face())
    assert _reasons(analysis) == [None]
    assert analysis.faces[0].track == 1
    assert (analysis.width, analysis.height) == (640, 360)
    assert _reasons(stream.frame(10.3, _face())) == [Reason.NOT_BETTER]
    assert stream.engine.templates == 1, "only a shot costs a template"


def test_a_better_face_is_another_shot() -> None:
    stream = _Stream()
    stream.frame(10.0, _face(score=0.84))
    assert _reasons(stream.frame(10.2, _face(score=0.86))) == [Reason.NOT_BETTER]
    assert _reasons(stream.frame(10.4, _face(score=0.93))) == [None]


def test_a_face_that_can_be_no_shot_is_neither_aligned_nor_lit() -> None:
    zone = Zone(((0, 0), (0.9, 0), (0.9, 1), (0, 1)))
    stream = _Stream(zone)
    good = _face()
    assert _reasons(stream.frame(10.0, good)) == [None]
    once = stream.engine.aligned
    assert once == 2, "for its light, and by the landmarks that it is templated by"
    looking_away = replace(good, landmarks=good.landmarks + np.float32([[0, 0], [0, 0], [40, 0], [0, 0], [0, 0]]))
    for at, face, reason in (
        (10.05, replace(good, score=0.99), Reason.NOT_BETTER),
        (10.10, replace(good, score=0.5), Reason.LOW_CONFIDENCE),
        (10.15, looking_away, Reason.EXTREME_POSE),
        (10.20, good, Reason.NOT_BETTER),
        (10.25, _face(size=30), Reason.TOO_SMALL),
    ):
        found = stream.frame(at, face)
        assert _reasons(found) == [reason]
        assert found.faces[0].quality.light is None
    assert _reasons(stream.frame(10.30, good, settled=[1])) == [Reason.SETTLED]
    stream.tracker.tracks = [0, 2]
    assert _reasons(stream.frame(10.35, good, _face(x=600))) == [Reason.NOT_TRACKED, Reason.OUTSIDE_ZONE]
    assert stream.engine.aligned == once
    stream.tracker.tracks = None
    assert _reasons(stream.frame(10.40, good, pending=[1])) == [None]
    assert stream.engine.aligned == 2 * once


def test_a_face_whose_light_is_too_poor_to_be_better_is_not_templated() -> None:
    stream = _Stream()
    stream.frame(10.0, _face(score=0.86))
    stream.engine.light = _TEXTURE // 6
    assert _reasons(stream.frame(10.2, _face(score=0.92))) == [Reason.NOT_BETTER]
    assert (stream.engine.looked_closer, stream.engine.templates) == (1, 1)


@pytest.mark.parametrize(
    ("smallest", "largest", "scale"), [(40, 1920, 0.5), (24, 1920, 20 / 24), (18, 1920, 1.0), (40, 160, 0.25)]
)
def test_the_picture_is_searched_as_small_as_the_smallest_face_allows(
    smallest: float, largest: int, scale: float
) -> None:
    stream = _Stream(smallest=smallest, largest=largest)
    stream.frame(10.0)
    assert stream.engine.asked == [(Region(0, 0, 640, 360), pytest.approx(scale))]


def test_only_the_zone_and_its_surroundings_are_searched_unless_all_is_wanted() -> None:
    zone = Zone(((0.5, 0.5), (0.75, 0.5), (0.75, 1)))
    stream, everywhere = _Stream(zone), _Stream(zone, everywhere=True)
    for each in (stream, everywhere):
        assert _reasons(each.frame(10.0, _face(x=20))) == [Reason.OUTSIDE_ZONE]
    assert stream.engine.asked[0][0] == Region(256, 116, 544, 360)
    assert everywhere.engine.asked[0][0] == Region(0, 0, 640, 360)


def test_a_settled_track_is_templated_once_again_after_the_refresh() -> None:
    stream = _Stream()
    stream.frame(10.0, _face())
    later = 10.0
    while later < 9.9 + REFRESH_S:
        later += 0.2
        assert _reasons(stream.frame(later, _face(), settled=[1])) == [Reason.SETTLED]
    assert _reasons(stream.frame(later + 0.2, _face(), settled=[1])) == [None]
    assert _reasons(stream.frame(later + 0.4, _face(), settled=[1])) == [Reason.SETTLED]


def test_a_track_that_goes_over_to_somebody_else_is_templated_even_if_settled() -> None:
    stream = _Stream()
    assert _reasons(stream.frame(10.0, _face(x=100))) == [None]
    assert _reasons(stream.frame(10.1, _face(x=104), settled=[1])) == [Reason.SETTLED]
    assert _reasons(stream.frame(10.2, _face(x=190), settled=[1])) == [None], "another place"
    assert _reasons(stream.frame(10.3, _face(x=194), settled=[1])) == [Reason.SETTLED]
    for at in (10.4, 10.5, 10.6):
        assert _reasons(stream.frame(at, _face(x=198, score=0.6), settled=[1])) == [Reason.SETTLED]
    assert _reasons(stream.frame(10.7, _face(x=198), settled=[1])) == [None], "nobody good for too long"


def test_a_pending_track_gets_its_next_face_and_a_settled_one_none() -> None:
    stream = _Stream()
    stream.frame(10.0, _face(size=70))
    assert _reasons(stream.frame(10.1, _face(size=65), pending=[1])) == [Reason.NOT_BETTER]
    assert _reasons(stream.frame(10.2, _face(size=60), pending=[1])) == [None]
    assert _reasons(stream.frame(10.4, _face(size=70), settled=[1])) == [Reason.SETTLED]
    assert _reasons(stream.frame(10.6, _face(size=75), pending=[1], settled=[1])) == [Reason.SETTLED]


def test_quality_comes_before_pending() -> None:
    stream = _Stream()
    stream.engine.light = np.full((112, 112, 3), 120, np.uint8)
    assert _reasons(stream.frame(10.0, _face(), pending=[1])) == [Reason.BLURRED]
    stream.engine.light = _TEXTURE // 20
    assert _reasons(stream.frame(10.0, _face(), pending=[1])) == [Reason.TOO_DARK]
    stream.engine.light = _TEXTURE
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

    def refuse() -> Pixels:
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
