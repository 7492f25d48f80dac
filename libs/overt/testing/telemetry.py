"""Spans and metrics kept in memory, for a test to look at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from overt.telemetry import Metric
from overt.telemetry.measuring import Instruments, Measuring
from overt.telemetry.tracing import Tracing


class RecordedTelemetry:
    """What was ended and measured since `recorded_telemetry` began."""

    def __init__(self, spans: InMemorySpanExporter, metrics: InMemoryMetricReader) -> None:
        self._spans = spans
        self._metrics = metrics

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Ended spans, in the order in which they ended."""
        return self._spans.get_finished_spans()

    def value(self, metric: Metric, **labels: str) -> float:
        """Of a counter or gauge with just these labels; of a histogram, how often it was observed. Else 0."""
        data = self._metrics.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for found in scope.metrics:
                    if found.name != metric.value.name:
                        continue
                    for point in found.data.data_points:
                        if dict(point.attributes or {}) == labels:
                            return _figure(point)
        return 0


@contextlib.contextmanager
def recorded_telemetry() -> Iterator[RecordedTelemetry]:
    """Turns tracing and metrics on, in memory and with nothing sent anywhere; off again at the end."""
    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    meters = MeterProvider([metrics], resource=Resource({}), shutdown_on_exit=False)
    before = Tracing.tracer, Measuring.instruments
    Tracing.tracer = tracers.get_tracer("overt")
    Measuring.instruments = Instruments(meters.get_meter("overt"))
    try:
        yield RecordedTelemetry(spans, metrics)
    finally:
        Tracing.tracer, Measuring.instruments = before
        tracers.shutdown()
        meters.shutdown()


def _figure(point: object) -> float:
    if isinstance(point, HistogramDataPoint):
        return point.count
    if isinstance(point, NumberDataPoint):
        return point.value
    raise TypeError(f"an unexpected kind of data point: {type(point).__name__}")
