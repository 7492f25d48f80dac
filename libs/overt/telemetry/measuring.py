"""Counting and measuring. Does nothing until `configure` has set the instruments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation
from opentelemetry.metrics import _Gauge as Gauge

from overt.telemetry.fields import Classification, admitted, dropped, refuse
from overt.telemetry.metrics import BOUNDARIES, Kind, Metric


class Instruments:
    """One OpenTelemetry instrument a metric."""

    def __init__(self, meter: Meter) -> None:
        self.counters: dict[Metric, Counter] = {}
        self.gauges: dict[Metric, Gauge] = {}
        self.histograms: dict[Metric, Histogram] = {}
        for metric in Metric:
            it = metric.value
            if metric is Metric.TELEMETRY_DROPPED:
                meter.create_observable_counter(it.name, [_dropped], unit=it.unit, description=it.help)
            elif it.kind is Kind.COUNTER:
                self.counters[metric] = meter.create_counter(it.name, unit=it.unit, description=it.help)
            elif it.kind is Kind.GAUGE:
                self.gauges[metric] = meter.create_gauge(it.name, unit=it.unit, description=it.help)
            else:
                self.histograms[metric] = meter.create_histogram(
                    it.name,
                    unit=it.unit,
                    description=it.help,
                    explicit_bucket_boundaries_advisory=[float(upper) for upper in BOUNDARIES[it.unit]],
                )


class Measuring:
    """The instruments of the process; None while metrics are off. Set by `configure`."""

    instruments: Instruments | None = None


def count(metric: Metric, n: int = 1, **labels: object) -> None:
    """`n` more of a counter. Labels are exactly those of its definition."""
    kept = _checked(metric, Kind.COUNTER, labels)
    if kept is not None and Measuring.instruments is not None:
        Measuring.instruments.counters[metric].add(n, kept)


def observe(metric: Metric, value: float, **labels: object) -> None:
    """One value of a histogram, in its unit."""
    kept = _checked(metric, Kind.HISTOGRAM, labels)
    if kept is not None and Measuring.instruments is not None:
        Measuring.instruments.histograms[metric].record(value, kept)


def gauge(metric: Metric, value: float, **labels: object) -> None:
    """The present value of a gauge."""
    kept = _checked(metric, Kind.GAUGE, labels)
    if kept is not None and Measuring.instruments is not None:
        Measuring.instruments.gauges[metric].set(value, kept)


def _checked(metric: Metric, kind: Kind, labels: Mapping[str, object]) -> dict[str, str] | None:
    it = metric.value
    if it.kind is not kind or metric is Metric.TELEMETRY_DROPPED:
        refuse("metric", f"{metric} is a {it.kind}, not a {kind} of callers")
        return None
    kept = admitted("metric_label", labels, only=Classification.OPERATIONAL)
    if kept.keys() != set(it.labels):
        refuse("metric_label", f"{metric} has the labels {it.labels}, not {tuple(kept)}")
    return {name: str(kept.get(name, "")) for name in it.labels}


def _dropped(options: CallbackOptions) -> Iterable[Observation]:
    return [Observation(amount, {"kind": kind}) for kind, amount in list(dropped.items())]
