"""Where spans and metrics go: an OTLP receiver, and a page of our own for Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIServer

import grpc
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from prometheus_client import CollectorRegistry, start_http_server

from overt.address import split_host_port
from overt.errors import Fatal

_SPANS_EVERY_MS = 500
_METRICS_EVERY_MS = 10_000
# A receiver that is away must not hold up anything for longer than this, least of all the end of the process.
_EXPORT_TIMEOUT_S = 2


class OtlpReceiver:
    """An OTLP gRPC endpoint as the settings name it: plain to loopback, otherwise TLS."""

    def __init__(self, endpoint: str, ca_file: Path | None) -> None:
        self._endpoint = endpoint
        self._insecure = urlsplit(endpoint).scheme == "http"
        self._credentials = (
            None
            if self._insecure
            else grpc.ssl_channel_credentials(root_certificates=ca_file.read_bytes() if ca_file else None)
        )

    def span_exporter(self) -> OTLPSpanExporter:
        return OTLPSpanExporter(self._endpoint, self._insecure, self._credentials, timeout=_EXPORT_TIMEOUT_S)

    def metric_exporter(self) -> OTLPMetricExporter:
        return OTLPMetricExporter(self._endpoint, self._insecure, self._credentials, timeout=_EXPORT_TIMEOUT_S)


def tracer_provider(resource: Resource, receiver: OtlpReceiver, ratio: float) -> TracerProvider:
    """Exports within half a second. A trace that a caller began is recorded if the caller recorded it."""
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(receiver.span_exporter(), schedule_delay_millis=_SPANS_EVERY_MS))
    return provider


def meter_provider(resource: Resource, readers: Sequence[MetricReader]) -> MeterProvider:
    return MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)


def otlp_reader(receiver: OtlpReceiver) -> PeriodicExportingMetricReader:
    return PeriodicExportingMetricReader(
        receiver.metric_exporter(),
        export_interval_millis=_METRICS_EVERY_MS,
        export_timeout_millis=_EXPORT_TIMEOUT_S * 1000,
    )


class PrometheusPage:
    """A reader of the metrics, and the HTTP server that shows it, each with nobody else's metrics in it."""

    def __init__(self, listen: str) -> None:
        host, port = split_host_port(listen)
        registry = CollectorRegistry(auto_describe=False)
        self.reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
        try:
            self._server, self._thread = self._start(port, host, registry)
        except OSError as error:
            raise Fatal(
                f"OVERT_METRICS_LISTEN: cannot listen on {listen} ({error.strerror or type(error).__name__}); "
                "name a free port, or port 0 for any"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{self._server.server_port}"

    @staticmethod
    def _start(port: int, host: str, registry: CollectorRegistry) -> tuple[WSGIServer, threading.Thread]:
        return start_http_server(port, addr=host, registry=registry)

    def close(self) -> None:
        """Stops the server. The reader is the meter provider's to shut down."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=1)
