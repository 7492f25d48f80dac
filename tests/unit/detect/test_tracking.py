"""Tracks on boxes that move like people: regular and irregular frames, gaps, crossings, jumps in time."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from overt_detect.adapters.bytetrack import ByteTrack
from overt_detect.domain.geometry import Box, Face

pytestmark = pytest.mark.unit

_NO_LANDMARKS = np.zeros((5, 2), np.float32)


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _face(x: float, y: float = 200, size: float = 60, score: float = 0.9) -> Face:
    return Face(Box(x, y, size * 0.8, size), _NO_LANDMARKS, score)


def test_a_face_is_tracked_from_its_second_frame_on_and_numbers_begin_at_one() -> None:
    tracker = ByteTrack()
    assert tracker.follow([_face(100)], 0.0).tracks == (0,)
    assert tracker.follow([_face(103)], 0.04).tracks == (1,)
    assert tracker.follow([_face(106), _face(400)], 0.08).tracks == (1, 0)
    assert tracker.follow([_face(403), _face(109)], 0.12).tracks == (2, 1), "in the order of the faces"


@pytest.mark.parametrize("rate", [5, 8, 12, 25])
def test_two_people_walk_past_each_other_at_any_rate(rate: int) -> None:
    tracker, random = ByteTrack(), np.random.default_rng(rate)
    followed: list[Counter[int]] = [Counter(), Counter()]
    at = 0.0
    while at < 4:
        # 90 pixels a second: a walk of 1.4 m/s some 4 m away, obliquely. Frames come late by up to a third.
        faces = [_face(50 + 90 * at, size=60 + 5 * at), _face(500 - 90 * at, y=330, size=80)]
        for person, track in enumerate(tracker.follow(faces, at).tracks):
            followed[person][track] += 1
        at += (1 + random.uniform(0, 1 / 3)) / rate
    for counts in followed:
        assert counts[0] == 1, "not tracked in its first frame only"
        assert len(counts) == 2, counts
    assert not set(followed[0]) & set(followed[1]) - {0}


def test_a_short_gap_is_bridged_and_a_long_one_ends_the_track_once() -> None:
    tracker = ByteTrack()
    for frame in range(5):
        tracker.follow([_face(100)], frame / 12)
    for frame in range(5, 9):
        assert tracker.follow([], frame / 12).ended == ()
    assert tracker.follow([_face(102)], 9 / 12).tracks == (1,)
    ended = [tracker.follow([], frame / 12).ended for frame in range(10, 30)]
    assert sum(ended, ()) == (1,)
    again = [tracker.follow([_face(102)], 3 + frame / 12).tracks for frame in range(2)]
    assert again == [(0,), (2,)], "a number is never used twice"


def test_a_stream_that_pauses_ends_its_tracks_with_its_next_frame() -> None:
    tracker = ByteTrack()
    tracker.follow([_face(100)], 0.0)
    tracker.follow([_face(100)], 0.1)
    found = tracker.follow([_face(100)], 30.0)
    assert found.ended == (1,)
    assert found.tracks == (0,)


def test_a_weak_face_carries_a_track_on_and_begins_none() -> None:
    tracker = ByteTrack()
    for frame in range(4):
        assert tracker.follow([_face(400, score=0.55)], frame / 12).tracks == (0,)
    tracker.follow([_face(100)], 0.5)
    tracker.follow([_face(100)], 0.6)
    assert tracker.follow([_face(101, score=0.55)], 0.7).tracks == (1,)


def test_times_that_stand_still_or_go_back_do_no_harm() -> None:
    tracker = ByteTrack()
    tracker.follow([_face(100)], 10.0)
    for at in (10.1, 10.1, 9.0, 10.05, 10.2):
        assert tracker.follow([_face(101)], at).tracks == (1,)


def test_nobody_is_nothing() -> None:
    tracker = ByteTrack()
    found = [tracker.follow([], frame / 12) for frame in range(20)]
    assert {(f.tracks, f.ended) for f in found} == {((), ())}


def test_trackers_of_two_streams_count_for_themselves() -> None:
    trackers = [ByteTrack(), ByteTrack()]
    for tracker in trackers:
        tracker.follow([_face(100)], 0.0)
        assert tracker.follow([_face(100)], 0.1).tracks == (1,)
