"""What a first-come-first-served queue does, in arithmetic."""

from __future__ import annotations

import pytest
from overt_lab.bench.fifo import simulate

pytestmark = pytest.mark.unit


def test_below_capacity_nobody_waits() -> None:
    found = simulate(offered_fps=10, capacity_fps=20, seconds=5, workers=2, took_ms=[50.0])
    assert len(found.stale_ms) == 50
    assert max(found.stale_ms) == pytest.approx(0, abs=1e-6)
    assert found.waiting == 0


def test_at_four_times_capacity_it_falls_behind_by_three_quarters_of_the_time() -> None:
    found = simulate(offered_fps=80, capacity_fps=20, seconds=10, workers=2, took_ms=[10.0, 30.0, 20.0])
    assert found.stale_ms[-1] == pytest.approx(7500, rel=0.03)
    assert len(found.stale_ms) == pytest.approx(200, rel=0.03)
    assert found.waiting == 800 - len(found.stale_ms)


def test_only_the_proportions_of_the_service_times_count() -> None:
    one = simulate(offered_fps=80, capacity_fps=20, seconds=3, workers=2, took_ms=[10.0, 30.0])
    other = simulate(offered_fps=80, capacity_fps=20, seconds=3, workers=2, took_ms=[1.0, 3.0])
    assert one.stale_ms == pytest.approx(other.stale_ms)
