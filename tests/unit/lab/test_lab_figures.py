"""Percentiles, and the slope of a service's memory."""

from __future__ import annotations

import math
import os

import pytest
from overt_lab.figures import percentiles
from overt_lab.soak import Samples, pss_mb, slope

pytestmark = pytest.mark.unit


def test_percentiles_are_named_and_rounded() -> None:
    assert percentiles([float(n) for n in range(1, 102)], 50, 95, 99) == {"p50": 51.0, "p95": 96.0, "p99": 100.0}
    assert percentiles([1.26, 1.26], 50) == {"p50": 1.3}


def test_percentiles_of_nothing_are_there_and_null() -> None:
    assert percentiles([], 50, 99) == {"p50": None, "p99": None}
    assert percentiles([1.0, math.nan], 50, 99) == {"p50": None, "p99": None}
    assert percentiles([1.0]) == {}


def _samples(seconds: int = 100) -> Samples:
    """`steady` stays; `grows` by 2 MB a minute; the first fifth is a warm-up that grows much faster."""
    return [
        (float(at), {"steady": 50.0, "grows": 100 + at / 30 if at >= seconds // 5 else 10.0 * at})
        for at in range(0, seconds, 5)
    ]


def test_the_slope_is_megabytes_a_minute_after_the_warm_up() -> None:
    assert slope(_samples(), "grows") == pytest.approx(2.0)
    assert slope(_samples(), "steady") == pytest.approx(0.0, abs=1e-9)
    assert slope(_samples()) == pytest.approx(2.0)


def test_a_service_that_was_away_for_a_sample_spoils_neither_slope() -> None:
    samples = _samples()
    del samples[10][1]["grows"]
    assert slope(samples, "grows") == pytest.approx(2.0)
    assert slope(samples, "steady") == pytest.approx(0.0, abs=1e-9)
    assert slope(samples) == pytest.approx(2.0), "a sum without one of them would look like memory given back"


@pytest.mark.parametrize("samples", [[], [(0.0, {"a": 1.0})]])
def test_no_slope_can_be_laid_through_one_point(samples: Samples) -> None:
    assert math.isnan(slope(samples))
    assert math.isnan(slope(samples, "a"))
    assert not slope(samples) <= 1.0, "so the soak does not pass"


def test_memory_of_a_process() -> None:
    found = pss_mb(os.getpid())
    assert found is not None
    assert 1 < found < 10_000
    assert pss_mb(2**22 + 1) is None, "above the largest process number: it has ended"
