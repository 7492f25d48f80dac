"""Which of a track's faces get a template."""

from __future__ import annotations

import pytest
from overt.reasons import Reason
from overt_detect.domain.best_shot import (
    BETTER_BY,
    MOST_LOOKS,
    REFRESH_S,
    SHOTS_APART_S,
    BestShots,
    Pace,
)

pytestmark = pytest.mark.unit


@pytest.fixture
def shots() -> BestShots:
    made = BestShots()
    assert made.refusal(1, rank=0.2, at=100.0, pending=False) is None, "the first is taken at once"
    made.took(1, rank=0.2, at=100.0)
    return made


@pytest.mark.parametrize(
    ("rank", "after", "pending", "taken"),
    [
        (0.2, 1.0, False, False),
        (0.2 * BETTER_BY - 0.001, 1.0, False, False),
        (0.2 * BETTER_BY + 0.001, 1.0, False, True),
        (0.9, SHOTS_APART_S - 0.02, False, False),
        (0.9, SHOTS_APART_S + 0.01, False, True),
        (0.05, SHOTS_APART_S + 0.01, True, True),
        (0.05, SHOTS_APART_S - 0.005, True, True),
        (0.05, SHOTS_APART_S - 0.02, True, False),
    ],
)
def test_a_later_shot(shots: BestShots, rank: float, after: float, pending: bool, taken: bool) -> None:
    refused = shots.refusal(1, rank=rank, at=100.0 + after, pending=pending)
    assert refused is (None if taken else Reason.NOT_BETTER)


def test_a_pending_tracks_poor_shot_does_not_lower_the_bar(shots: BestShots) -> None:
    shots.took(1, rank=0.01, at=101.0)
    assert shots.refusal(1, rank=0.1, at=102.0, pending=False) is Reason.NOT_BETTER
    assert shots.refusal(1, rank=0.1, at=101.05, pending=True) is Reason.NOT_BETTER, "too soon after the last"


def test_tracks_do_not_know_one_another_and_are_forgotten(shots: BestShots) -> None:
    assert shots.refusal(2, rank=0.1, at=100.0, pending=False) is None
    shots.forget([1, 7])
    assert len(shots) == 0
    assert shots.refusal(1, rank=0.1, at=100.0, pending=False) is None


def test_a_settled_track_rests_until_the_refresh(shots: BestShots) -> None:
    assert shots.rests(1, at=100.0 + REFRESH_S - 0.1)
    assert not shots.rests(1, at=100.0 + REFRESH_S)
    shots.took(1, rank=0.1, at=100.0 + REFRESH_S)
    assert shots.rests(1, at=101.0 + REFRESH_S)


def test_after_the_refresh_any_face_is_a_shot_once(shots: BestShots) -> None:
    later = 100.0 + REFRESH_S
    assert shots.refusal(1, rank=0.05, at=later, pending=False) is None
    shots.took(1, rank=0.05, at=later)
    assert shots.refusal(1, rank=0.05, at=later + 1, pending=False) is Reason.NOT_BETTER
    assert shots.refusal(1, rank=0.05, at=later + REFRESH_S, pending=False) is None


def test_a_track_in_doubt_begins_anew_but_not_at_once(shots: BestShots) -> None:
    shots.doubt(1)
    assert not shots.rests(1, at=100.5)
    assert shots.refusal(1, rank=0.01, at=100.0 + SHOTS_APART_S - 0.01, pending=True) is Reason.NOT_BETTER
    assert shots.refusal(1, rank=0.01, at=100.0 + SHOTS_APART_S + 0.01, pending=False) is None
    shots.took(1, rank=0.01, at=100.2)
    assert shots.rests(1, at=100.5)
    assert shots.refusal(1, rank=0.012, at=101, pending=False) is None, "the one before does not set the bar"
    shots.doubt(7)
    assert shots.refusal(7, rank=0.01, at=101, pending=False) is None


def test_a_person_who_walks_up_costs_a_handful_of_shots() -> None:
    """From the poorest face that is accepted to the best one there is, in eight seconds."""
    shots, taken = BestShots(), 0
    for frame in range(200):
        rank = 0.45 + 0.4 * frame / 199
        if shots.refusal(1, rank=rank, at=frame / 25, pending=False) is None:
            shots.took(1, rank=rank, at=frame / 25)
            taken += 1
    assert 5 <= taken <= 8


def test_whose_turn_it_is(shots: BestShots) -> None:
    """Who waits for a second shot, then who had the fewest turns, then the best: nobody keeps the others waiting."""
    shots.looked_at(1)
    shots.looked_at(2)
    shots.looked_at(2)
    waiting = {
        "pending": (2, 0.1, True),
        "second turn": (1, 0.9, False),
        "best new": (3, 0.5, False),
        "new": (4, 0.2, False),
    }
    order = sorted(
        waiting, key=lambda who: shots.urgency(waiting[who][0], rank=waiting[who][1], pending=waiting[who][2])
    )
    assert order == ["pending", "best new", "new", "second turn"]
    shots.forget([2])
    assert shots.urgency(2, rank=0.1, pending=False) < shots.urgency(1, rank=0.1, pending=False)


def _looks(intervals: list[float]) -> list[int]:
    pace, at = Pace(), 100.0
    found = [pace.looks(at)]
    for interval in intervals:
        at += interval
        found.append(pace.looks(at))
    return found


@pytest.mark.parametrize(("rate", "each"), [(30, 1), (25, 1), (20, 1), (12.5, 2), (5, 5), (1, MOST_LOOKS)])
def test_faces_are_looked_at_closely_so_often_a_second_at_any_rate(rate: float, each: int) -> None:
    assert set(_looks([1 / rate] * 20)[1:]) == {each}


def test_captures_out_of_step_do_not_make_a_frame_look_at_several() -> None:
    assert set(_looks([0.12, -0.04, -0.04, 0.12] * 50)[4:]) == {1}


def test_a_camera_whose_clock_goes_back_is_looked_at_all_the_same() -> None:
    assert set(_looks([0.04] * 50 + [-3600.0] + [0.04] * 100)[1:]) == {1}
