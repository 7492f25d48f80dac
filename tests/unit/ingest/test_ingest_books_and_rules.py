"""The pure rules: fates, admission, refusals, what is wanted open, whether a camera sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from overt.errors import Rejected
from overt.ids import StreamId
from overt.ledger import FrameClass, TrackClass
from overt.pictures import check_size
from overt.reasons import Reason
from overt_ingest.domain.admission import check_time_and_order
from overt_ingest.domain.books import FRAME_ORDER, RETAINED, TRACK_ORDER, Fate, OpenBook, stronger
from overt_ingest.domain.deployments import CameraSpec, Deployment, State, check_visit, next_change, wanted
from overt_ingest.domain.faces import Box, FoundFace, Probe, known_reason
from overt_ingest.domain.frame import Arrival, Frame
from overt_ingest.domain.sight import SEARCH_FAILURE_HOLDS_S, Senses, Sight
from overt_ingest.domain.sighting import Exhibit, Pictures, Sighting
from overt_ingest.domain.tracks import Tracks, fate_of_refusal
from overt_ingest.testing import FakePicture

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


# Fates


def test_the_precedence_of_a_tracks_fate() -> None:
    weakest_first = [
        Fate(TrackClass.EXPIRED),
        Fate(TrackClass.OUTSIDE_ZONE),
        Fate(TrackClass.QUALITY, "blurred"),
        Fate(TrackClass.UNANALYSED, Reason.MATCH_AWAY),
        Fate(TrackClass.NO_MATCH),
        Fate(TrackClass.UNCONFIRMED),
        Fate(TrackClass.EXPIRED, Reason.EVIDENCE_LOST),
        RETAINED,
    ]
    for i, weak in enumerate(weakest_first):
        for strong in weakest_first[i + 1 :]:
            assert stronger(TRACK_ORDER, weak, strong) == strong
            assert stronger(TRACK_ORDER, strong, weak) == strong


def test_the_orders_are_the_closed_lists() -> None:
    assert set(FRAME_ORDER) == {"retained", *FrameClass}
    assert set(TRACK_ORDER) == {"retained", *TrackClass}
    with pytest.raises(ValueError):
        stronger(FRAME_ORDER, None, Fate("archived"))


def test_within_a_class_the_newest_code_stands() -> None:
    blurred, dark = Fate(TrackClass.QUALITY, "blurred"), Fate(TrackClass.QUALITY, "too_dark")
    assert stronger(TRACK_ORDER, blurred, dark) == dark


def test_an_entry_is_booked_when_its_last_part_is_gone_and_only_once() -> None:
    gone: list[Fate] = []
    book = OpenBook(FRAME_ORDER)
    frame = book.enter(gone.append)
    cut_out = frame.life.hold()
    frame.let_go(Fate(FrameClass.NO_MATCH))
    frame.let_go(RETAINED)
    assert book.in_flight == 1
    assert gone == []
    cut_out.let_go(Fate(FrameClass.EXPIRED, Reason.UNCONFIRMED))
    cut_out.let_go()
    assert gone == [Fate(FrameClass.EXPIRED, Reason.UNCONFIRMED)]
    told = book.snapshot()
    assert told.destroyed == {"expired": 1}
    assert told.reasons == {"expired/unconfirmed": 1}
    assert told.conserved()
    assert told.in_flight == 0


def test_a_frame_shows_its_size_and_never_its_bytes() -> None:
    secret = b"\xff\xd8 the picture of somebody"
    arrival = Arrival(NOW, NOW, 5.0)
    frame = Frame(
        sequence=7, arrival=arrival, picture=FakePicture(secret), hold=OpenBook(FRAME_ORDER).enter(), traceparent="t"
    )
    assert repr(frame) == f"Frame(7, {len(secret)} bytes)"
    frame.destroy(Fate(FrameClass.NO_FACE))
    frame.destroy(Fate(FrameClass.NO_MATCH))
    assert repr(frame) == "Frame(7, destroyed)"
    with pytest.raises(RuntimeError):
        _ = frame.picture
    for thing in (
        Probe(b"template", NOW),
        FoundFace(1, Box(0, 0, 1, 1), b"template"),
        Pictures(b"x", b"y", Box(0, 0, 1, 1), Box(0, 0, 1, 1)),
    ):
        assert "template" not in repr(thing)
        assert "b'x'" not in repr(thing)


# Times


def test_a_clock_is_believed_for_half_a_second() -> None:
    def trusted(early: float) -> float:
        return Arrival(NOW - timedelta(seconds=early), NOW, 100.0).trusted_capture

    assert trusted(0.1) == pytest.approx(99.9)
    assert trusted(9) == pytest.approx(99.5)
    assert trusted(-9) == pytest.approx(100)


def test_lived_counts_from_the_stated_capture_and_never_from_the_future() -> None:
    assert Arrival(NOW - timedelta(seconds=2), NOW, 100.0).lived(100.5) == timedelta(seconds=2.5)
    assert Arrival(NOW + timedelta(seconds=2), NOW, 100.0).lived(100.5) == timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("seconds", "sequence", "reason"),
    [
        (-9.9, 6, None),
        (9.9, 6, None),
        (10.1, 6, Reason.CLOCK),
        (-10.1, 6, Reason.CLOCK),
        (0, 5, Reason.SEQUENCE),
        (0, 4, Reason.SEQUENCE),
        (0, 500, None),
    ],
)
def test_the_door(seconds: float, sequence: int, reason: Reason | None) -> None:
    captured_at = NOW + timedelta(seconds=seconds)
    assert check_time_and_order(captured_at=captured_at, now=NOW, sequence=sequence, last_sequence=5) is reason


def test_a_frame_without_a_time_is_refused_and_a_first_one_may_have_any_number() -> None:
    assert check_time_and_order(captured_at=None, now=NOW, sequence=1, last_sequence=None) is Reason.CLOCK
    assert check_time_and_order(captured_at=NOW, now=NOW, sequence=0, last_sequence=None) is None


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (64, 64, None),
        (4096, 4096, None),
        (63, 4096, Reason.PICTURE_TOO_SMALL),
        (64, 4097, Reason.PICTURE_TOO_LARGE),
        (20_000, 20_000, Reason.PICTURE_TOO_LARGE),
        (1, 1, Reason.PICTURE_TOO_SMALL),
    ],
)
def test_sides(width: int, height: int, reason: Reason | None) -> None:
    if reason is None:
        check_size(width, height)
        return
    with pytest.raises(Rejected) as refused:
        check_size(width, height)
    assert refused.value.reason is reason


# Tracks


@pytest.mark.parametrize(
    ("code", "fate"),
    [
        ("blurred", Fate(TrackClass.QUALITY, "blurred")),
        ("too_small", Fate(TrackClass.QUALITY, "too_small")),
        ("outside_zone", Fate(TrackClass.OUTSIDE_ZONE)),
        ("not_better", None),
        ("settled", None),
        ("not_tracked", None),
        ("a word that came over the wire", Fate(TrackClass.QUALITY, "bad_message")),
    ],
)
def test_what_a_refused_face_says_of_its_track(code: str, fate: Fate | None) -> None:
    assert fate_of_refusal(code) == fate


def test_a_peers_code_is_ours_or_none() -> None:
    assert known_reason("match_away") is Reason.MATCH_AWAY
    assert known_reason("Bob Smith") is Reason.BAD_MESSAGE


def _face(track: int, refused: str = "") -> FoundFace:
    return FoundFace(track, Box(0, 0, 1, 1), template=b"" if refused else b"t", refused=refused)


def test_tracks_end_when_detect_says_so_and_when_their_stream_is_another() -> None:
    book = OpenBook(TRACK_ORDER)
    tracks = Tracks(book)
    tracks.follow(StreamId("one"))
    tracks.observe([_face(1, "blurred"), _face(2, "outside_zone"), _face(0), _face(3)])
    assert book.in_flight == len(tracks) == 3
    tracks.end([2, 77])
    assert book.snapshot().destroyed == {"outside_zone": 1}
    tracks[3].note(Fate(TrackClass.NO_MATCH))
    tracks.follow(StreamId("one"))
    assert book.in_flight == 2
    tracks.follow(StreamId("two"))
    assert book.snapshot().destroyed == {"outside_zone": 1, "no_match": 1, "unanalysed": 1}
    assert book.snapshot().reasons == {"unanalysed/detect_away": 1}


def test_the_same_number_on_another_stream_is_another_track() -> None:
    tracks = Tracks(OpenBook(TRACK_ORDER))
    tracks.follow(StreamId("one"))
    tracks.observe([_face(1)])
    first = tracks[1].key
    tracks.follow(StreamId("two"))
    tracks.observe([_face(1)])
    assert tracks[1].key != first


def test_an_ended_tracks_sighting_is_destroyed_with_it() -> None:
    frames, book = OpenBook(FRAME_ORDER), OpenBook(TRACK_ORDER)
    tracks = Tracks(book)
    tracks.follow(StreamId("one"))
    tracks.observe([_face(1)])
    frame = frames.enter()
    exhibit = Exhibit(
        Pictures(b"c", b"s", Box(0, 0, 1, 1), Box(0, 0, 1, 1)), frame=frame.life.hold(), track=tracks[1].hold()
    )
    frame.let_go(Fate(FrameClass.NO_MATCH))
    sighting = Sighting(exhibit, Probe(b"t", NOW), deadline=1, on_end=lambda ended: None)
    tracks[1].sighting = sighting
    assert tracks.pending == [1]
    tracks.end([1])
    assert not sighting.waits
    assert sighting.probes == []
    assert frames.snapshot().reasons == {"expired/unconfirmed": 1}
    assert book.snapshot().destroyed == {"unconfirmed": 1}
    with pytest.raises(RuntimeError):
        _ = exhibit.pictures


def test_a_search_gets_the_first_shot_and_the_newest_and_never_more_than_eight() -> None:
    hold = OpenBook(FRAME_ORDER).enter()
    exhibit = Exhibit(Pictures(b"c", b"s", Box(0, 0, 1, 1), Box(0, 0, 1, 1)), frame=hold, track=hold)
    shots = [Probe(b"t", NOW + timedelta(seconds=i)) for i in range(20)]
    sighting = Sighting(exhibit, shots[0], deadline=1, on_end=lambda ended: None)
    for shot in shots[1:]:
        sighting.probes = sighting.with_probe(shot)
    assert sighting.probes == [shots[0], *shots[-7:]]


# Deployments


def _deployment(state: State = State.ACTIVE, *cameras: CameraSpec, name: str = "dep") -> Deployment:
    return Deployment(name, state, NOW, NOW + timedelta(hours=5), cameras or (CameraSpec(name, "cam"),))


def test_a_camera_is_open_in_the_window_of_an_active_deployment_and_at_no_other_time() -> None:
    active = _deployment()
    key = ("dep", "cam")
    assert key in wanted([active], NOW)
    assert key in wanted([active], NOW + timedelta(hours=5, microseconds=-1))
    assert key not in wanted([active], NOW + timedelta(hours=5))
    assert key not in wanted([active], NOW - timedelta(microseconds=1))
    assert wanted([_deployment(State.CLOSED)], NOW) == {}


def test_when_the_clock_alone_changes_what_is_wanted() -> None:
    active = _deployment()
    assert next_change([active], NOW - timedelta(hours=1)) == NOW
    assert next_change([active], NOW) == NOW + timedelta(hours=5)
    assert next_change([active], NOW + timedelta(hours=5)) is None
    assert next_change([_deployment(State.CLOSED)], NOW - timedelta(hours=1)) is None


@pytest.mark.parametrize(
    ("deployment", "camera", "when", "reason"),
    [
        ("other", "cam", NOW, Reason.UNKNOWN_DEPLOYMENT),
        ("dep", "other", NOW, Reason.UNKNOWN_CAMERA),
        ("ended", "cam", NOW, Reason.WRONG_STATE),
        ("dep", "cam", NOW - timedelta(seconds=1), Reason.OUTSIDE_WINDOW),
        ("dep", "pulled", NOW, Reason.CAMERA_BUSY),
    ],
)
def test_who_may_not_push(deployment: str, camera: str, when: datetime, reason: Reason) -> None:
    known = {
        "dep": _deployment(State.ACTIVE, CameraSpec("dep", "cam"), CameraSpec("dep", "pulled", source_url="rtsp://x")),
        "ended": _deployment(State.CLOSED, name="ended"),
    }
    with pytest.raises(Rejected) as refused:
        check_visit(known, deployment, camera, when)
    assert refused.value.reason is reason
    assert check_visit(known, "dep", "cam", NOW).camera == "cam"


def test_a_source_url_and_a_key_never_show() -> None:
    spec = CameraSpec("dep", "cam", source_url="rtsp://u:hunter2@host/", sealing_public_key=b"K" * 32)
    assert "hunter2" not in repr(spec)
    assert "KKK" not in repr(_deployment(State.ACTIVE, spec))


# Sight


def _seeing(now: float) -> Senses:
    senses = Senses()
    senses.frame_came(now - 0.1)
    senses.analysed(now - 0.05)
    return senses


def test_a_camera_that_is_analysed_sees() -> None:
    assert _seeing(100).sight(100) == (Sight.SEEING, None)
    assert Senses().sight(100) == (Sight.WAITING, None)


def test_why_a_camera_is_blind() -> None:
    senses = _seeing(100)
    assert senses.sight(102) == (Sight.BLIND, Reason.SOURCE_STALLED)
    senses.wasted(100, FrameClass.UNANALYSED, Reason.DEADLINE)
    assert senses.sight(100) == (Sight.BLIND, Reason.DEADLINE)
    senses.analysed(100.5)
    senses.frame_came(100.5)
    assert senses.sight(100.6) == (Sight.SEEING, None)
    senses.detect_away = True
    assert senses.sight(100.6) == (Sight.BLIND, Reason.DETECT_AWAY)
    senses.source_trouble = Reason.SOURCE_LOST
    assert senses.sight(100.6) == (Sight.BLIND, Reason.SOURCE_LOST)
    senses.ledger_away = True
    assert senses.sight(100.6) == (Sight.BLIND, Reason.LEDGER_AWAY)


def test_one_rejected_frame_is_no_blindness_and_nothing_but_rejected_ones_is() -> None:
    senses = _seeing(100)
    senses.wasted(100, FrameClass.REJECTED, Reason.NOT_A_JPEG)
    assert senses.sight(100) == (Sight.SEEING, None)
    senses.frame_came(102)
    senses.wasted(102, FrameClass.REJECTED, Reason.NOT_A_JPEG)
    assert senses.sight(102) == (Sight.BLIND, Reason.NOT_A_JPEG)


def test_a_hanging_analysis_is_blindness_within_two_seconds() -> None:
    senses = Senses()
    senses.frame_came(100)
    senses.frame_came(101.9)
    assert senses.sight(101.9) == (Sight.BLIND, Reason.DEADLINE)


def test_a_failed_search_is_blindness_until_one_succeeds_or_nobody_comes() -> None:
    senses = _seeing(100)
    senses.search_failed(100, Reason.MATCH_AWAY)
    assert senses.sight(100) == (Sight.BLIND, Reason.MATCH_AWAY)
    later = 100 + SEARCH_FAILURE_HOLDS_S + 0.1
    senses.frame_came(later)
    senses.analysed(later)
    assert senses.sight(later) == (Sight.SEEING, None)
    senses.search_failed(later, Reason.MATCH_AWAY)
    senses.searched(later + 0.1)
    assert senses.sight(later + 0.1) == (Sight.SEEING, None)
