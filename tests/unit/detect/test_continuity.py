"""Whether a track still is who it was: boxes that move like people, and boxes that jump."""

from __future__ import annotations

import pytest
from overt_detect.domain.continuity import Continuity
from overt_detect.domain.geometry import Box

pytestmark = pytest.mark.unit


def _box(x: float, y: float = 200, size: float = 60) -> Box:
    return Box(x, y, size * 0.8, size)


@pytest.mark.parametrize("rate", [2, 5, 8, 12, 25])
def test_a_walker_goes_on(rate: int) -> None:
    """8 of his face's widths in a second: at the low rates only where he was heading tells that it is him."""
    continuity = Continuity()
    times = [frame / rate for frame in range(4 * rate)]
    found = [continuity.doubtful({1: _box(400 * at, size=60 + 10 * at)}, at) for at in times]
    assert not any(found[2:])


def test_a_jump_is_noted_once() -> None:
    continuity = Continuity()
    assert continuity.doubtful({1: _box(100), 2: _box(500)}, 10.00) == []
    assert continuity.doubtful({1: _box(102), 2: _box(503)}, 10.04) == []
    assert continuity.doubtful({1: _box(160), 2: _box(506)}, 10.08) == [1]
    assert continuity.doubtful({1: _box(161), 2: _box(509)}, 10.12) == []


def test_somebody_of_another_size_at_the_same_place_is_somebody_else() -> None:
    continuity = Continuity()
    assert continuity.doubtful({1: _box(100, size=60)}, 10.00) == []
    assert continuity.doubtful({1: _box(80, size=130)}, 10.04) == [1]


def test_who_was_hidden_may_come_back_as_somebody_else() -> None:
    continuity = Continuity()
    assert continuity.doubtful({1: _box(100)}, 10.0) == []
    assert continuity.doubtful({}, 10.1) == []
    assert continuity.doubtful({1: _box(100)}, 10.15) == [], "not for long"
    assert continuity.doubtful({}, 10.25) == []
    assert continuity.doubtful({1: _box(100)}, 10.4) == [1]


def test_nobody_is_hidden_between_two_frames_of_a_slow_camera() -> None:
    continuity = Continuity()
    for at in (10.0, 12.0, 14.0):
        assert continuity.doubtful({1: _box(100)}, at) == []


def test_tracks_are_forgotten() -> None:
    continuity = Continuity()
    assert continuity.doubtful({1: _box(100), 2: _box(300)}, 10.0) == []
    continuity.forget([1, 9])
    assert len(continuity) == 1
    assert continuity.doubtful({1: _box(500)}, 10.1) == []


def test_a_clock_that_stands_still_or_goes_back_does_no_harm() -> None:
    continuity = Continuity()
    for at in (10.0, 10.0, 9.0, 9.2):
        assert continuity.doubtful({1: _box(100)}, at) == []
