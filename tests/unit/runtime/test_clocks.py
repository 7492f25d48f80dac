"""Clocks: the real one's units, and the fake one's laws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from overt.runtime import Clock, SystemClock
from overt.testing import FakeClock

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
def test_every_clock_is_aware_utc_and_does_not_go_back(clock: Clock) -> None:
    first, tick = clock.now(), clock.monotonic()
    assert first.utcoffset() == timedelta(0)
    assert clock.monotonic() >= tick
    assert isinstance(tick, float)


def test_the_fake_moves_only_when_told() -> None:
    clock = FakeClock()
    start, tick = clock.now(), clock.monotonic()
    assert clock.now() == start
    clock.advance(1.5)
    clock.advance(timedelta(seconds=2))
    assert clock.now() - start == timedelta(seconds=3.5)
    assert clock.monotonic() - tick == pytest.approx(3.5)
    with pytest.raises(ValueError):
        clock.advance(-1)


def test_a_jump_of_the_wall_clock_does_not_move_the_monotonic_one() -> None:
    clock = FakeClock()
    tick = clock.monotonic()
    clock.jump(datetime(2020, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2020
    assert clock.monotonic() == tick


def test_a_fake_is_aware() -> None:
    with pytest.raises(ValueError, match="aware"):
        FakeClock(datetime(2026, 1, 1))
