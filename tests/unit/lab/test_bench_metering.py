"""What is read from the services and from the kernel."""

from __future__ import annotations

import os
import time

import pytest
from overt.errors import Fatal
from overt.telemetry import Metric
from overt_lab.bench.metering import Cpu, cpu_now, parse, quantile

pytestmark = pytest.mark.unit

_PAGE = """
# TYPE overt_frames_destroyed_total counter
overt_frames_destroyed_total{camera="a",deployment="d",fate="superseded"} %(superseded)d
overt_frames_destroyed_total{camera="b",deployment="d",fate="superseded"} 5
overt_frames_destroyed_total{camera="b",deployment="d",fate="no_face"} 7
overt_frames_destroyed_total{camera="b",deployment="other",fate="superseded"} 100
# TYPE overt_frame_stale_milliseconds histogram
overt_frame_stale_milliseconds_bucket{camera="a",deployment="d",le="100.0"} 50
overt_frame_stale_milliseconds_bucket{camera="a",deployment="d",le="250.0"} 99
overt_frame_stale_milliseconds_bucket{camera="a",deployment="d",le="300.0"} 100
overt_frame_stale_milliseconds_bucket{camera="a",deployment="d",le="+Inf"} 100
overt_frame_stale_milliseconds_count{camera="a",deployment="d"} 100
overt_frame_stale_milliseconds_sum{camera="a",deployment="d"} 9000
"""


def test_counters_are_added_up_over_cameras_and_subtracted_over_time() -> None:
    earlier, later = parse(_PAGE % {"superseded": 3}), parse(_PAGE % {"superseded": 13})
    assert later.counter(Metric.FRAMES_DESTROYED, deployment="d", fate="superseded") == 18
    assert (later - earlier).counter(Metric.FRAMES_DESTROYED, deployment="d", fate="superseded") == 10
    assert later.counter(Metric.FRAMES_DESTROYED, deployment="nobody's") == 0


def test_quantiles_are_exact_at_the_edges_of_buckets() -> None:
    page = parse(_PAGE % {"superseded": 0})
    assert page.quantile(Metric.FRAME_STALE, 0.99, deployment="d") == 250
    assert page.quantile(Metric.FRAME_STALE, 0.5, deployment="d") == 100
    assert page.quantile(Metric.FRAME_STALE, 0.25, deployment="d") == 50
    assert page.quantile(Metric.FRAME_STALE, 0.5, deployment="other") is None
    assert page.counted(Metric.FRAME_STALE, deployment="d") == 100
    assert page.summed(Metric.FRAME_STALE, deployment="d") == 9000


def test_what_is_past_the_last_edge_is_told_as_that_edge() -> None:
    assert quantile([(10.0, 1.0), (float("inf"), 4.0)], 0.99) == 10.0
    assert quantile([], 0.5) is None
    assert quantile([(10.0, 0.0), (float("inf"), 0.0)], 0.5) is None


def test_processor_time_of_a_process_and_of_the_machine() -> None:
    before = cpu_now({"us": os.getpid()})
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
    spent = cpu_now({"us": os.getpid()}) - before
    assert 0.1 <= spent.of["us"] <= 1
    assert spent.machine >= 0.1
    assert spent.together(without=["us"]) == 0


def test_a_process_that_was_replaced_spoils_the_figure() -> None:
    with pytest.raises(Fatal, match="detect ended"):
        Cpu({"detect": 1.0}, 20.0) - Cpu({"detect": 5.0}, 10.0)
