"""Metrics: a closed list with exact labels, off until configured."""

from __future__ import annotations

import pytest
from overt.telemetry import Metric, Unclassified, count, gauge, observe
from overt.telemetry import fields as closed
from overt.telemetry.metrics import BOUNDARIES, Kind
from overt.testing.telemetry import recorded_telemetry

pytestmark = pytest.mark.unit


def test_off_means_nothing_but_is_checked() -> None:
    count(Metric.FRAMES_IN, deployment="market-square", camera="north")
    with pytest.raises(Unclassified, match="labels"):
        count(Metric.FRAMES_IN)


def test_each_kind_measures() -> None:
    with recorded_telemetry() as recorded:
        for _ in range(3):
            count(Metric.FRAMES_IN, 2, deployment="d", camera="c")
        gauge(Metric.BUS_CONNECTED, 1)
        gauge(Metric.BUS_CONNECTED, 0)
        observe(Metric.LOOP_LAG, 3.5)
        observe(Metric.LOOP_LAG, 1.5)
        assert recorded.value(Metric.FRAMES_IN, deployment="d", camera="c") == 6
        assert recorded.value(Metric.FRAMES_IN, deployment="d", camera="other") == 0
        assert recorded.value(Metric.BUS_CONNECTED) == 0
        assert recorded.value(Metric.LOOP_LAG) == 2


def test_the_wrong_kind_is_refused() -> None:
    with pytest.raises(Unclassified, match="counter"):
        observe(Metric.FRAMES_IN, 1, deployment="d", camera="c")
    with pytest.raises(Unclassified):
        count(Metric.TELEMETRY_DROPPED, kind="x")


def test_a_pseudonym_is_no_label() -> None:
    with pytest.raises(Unclassified, match="pseudonym"):
        count(Metric.FRAMES_IN, deployment="d", camera="c", track=7)


def test_outside_tests_a_bad_label_is_dropped_and_the_measurement_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERT_STRICT_TELEMETRY")
    with recorded_telemetry() as recorded:
        before = closed.dropped["metric_label"]
        count(Metric.FRAMES_IN, deployment="d", track=7)
        assert recorded.value(Metric.FRAMES_IN, deployment="d", camera="") == 1
        assert closed.dropped["metric_label"] > before
        assert recorded.value(Metric.TELEMETRY_DROPPED, kind="metric_label") == closed.dropped["metric_label"]


def test_milliseconds_are_told_apart_where_the_promises_are() -> None:
    milliseconds = BOUNDARIES["ms"]
    assert list(milliseconds) == sorted(set(milliseconds))
    assert {300, 500}.issubset(milliseconds)


@pytest.mark.parametrize("metric", [m for m in Metric if m.value.kind is Kind.HISTOGRAM], ids=lambda m: m.name)
def test_every_histogram_has_boundaries(metric: Metric) -> None:
    assert metric.value.unit in BOUNDARIES


def test_units_are_those_that_the_page_can_name() -> None:
    assert {metric.value.unit for metric in Metric} <= set(BOUNDARIES)
