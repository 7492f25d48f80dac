"""Where spans and metrics go: the Prometheus page of our own, an OTLP receiver, and no waiting for one that is away."""

from __future__ import annotations

import io
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import prometheus_client
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from overt import telemetry
from overt.errors import Fatal
from overt.settings import ServiceSettings
from overt.telemetry import Metric, SpanName, count, gauge, observe, span

pytestmark = pytest.mark.unit


class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps what is exported to it. Both services call their method Export, so each gets its own."""

    def __init__(self) -> None:
        self.traces: list[Any] = []
        self.metrics: list[Any] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        for service, method, kept, request, reply in (
            (
                "opentelemetry.proto.collector.trace.v1.TraceService",
                "Export",
                self.traces,
                trace_service_pb2.ExportTraceServiceRequest,
                trace_service_pb2.ExportTraceServiceResponse,
            ),
            (
                "opentelemetry.proto.collector.metrics.v1.MetricsService",
                "Export",
                self.metrics,
                metrics_service_pb2.ExportMetricsServiceRequest,
                metrics_service_pb2.ExportMetricsServiceResponse,
            ),
        ):

            def keep(got: Any, context: Any, kept: list[Any] = kept, reply: Any = reply) -> Any:
                kept.append(got)
                return reply()

            handler = grpc.unary_unary_rpc_method_handler(
                keep, request_deserializer=request.FromString, response_serializer=reply.SerializeToString
            )
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        self.url = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    @property
    def spans(self) -> list[Any]:
        return [s for r in self.traces for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    it = Receiver()
    yield it
    it.server.stop(None)


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Callable[..., io.StringIO]]:
    key = tmp_path / "issuer.pem"
    key.write_text("public")

    def with_settings(**settings: Any) -> io.StringIO:
        stream = io.StringIO()
        telemetry.configure("toy", ServiceSettings(issuer_public_key_file=key, **settings), stream=stream)
        return stream

    yield with_settings
    telemetry.shutdown()


def page() -> str:
    with urllib.request.urlopen(f"http://{telemetry.metrics_address()}/metrics", timeout=5) as answer:
        text = answer.read()
    assert isinstance(text, bytes)
    return text.decode()


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_page_shows_our_metrics_and_nothing_else(configure: Callable[..., io.StringIO]) -> None:
    stream = configure(metrics_listen="127.0.0.1:0")
    count(Metric.FRAMES_IN, 3, deployment="market-square", camera="north")
    gauge(Metric.BUS_CONNECTED, 1)
    observe(Metric.FRAME_LIVED, 120, deployment="market-square", camera="north")
    shown = page()
    assert 'overt_frames_in_total{camera="north",deployment="market-square"} 3.0' in shown
    assert "\novert_bus_connected 1.0\n" in shown
    bucket = 'overt_frame_lived_milliseconds_bucket{camera="north",deployment="market-square",le="%s"} %s'
    assert bucket % ("100.0", "0.0") in shown
    assert bucket % ("125.0", "1.0") in shown
    series = [line for line in shown.splitlines() if not line.startswith("#")]
    assert all(line.startswith("overt_") for line in series), series
    told = json.loads(stream.getvalue().splitlines()[0])
    assert told["event"] == "metrics_listening"
    assert told["address"] == telemetry.metrics_address()


def test_the_global_registry_is_left_alone(configure: Callable[..., io.StringIO]) -> None:
    configure(metrics_listen="127.0.0.1:0")
    count(Metric.FRAMES_IN, deployment="d", camera="c")
    assert b"overt_" not in prometheus_client.generate_latest()


def test_the_page_listens_on_ipv6_too(configure: Callable[..., io.StringIO]) -> None:
    configure(metrics_listen="[::1]:0")
    address = telemetry.metrics_address()
    assert address is not None
    assert address.startswith("[::1]:")
    page()


def test_the_page_is_gone_after_shutdown(configure: Callable[..., io.StringIO]) -> None:
    configure(metrics_listen="127.0.0.1:0")
    address = telemetry.metrics_address()
    assert address is not None
    telemetry.shutdown()
    assert telemetry.metrics_address() is None
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1):
        pass


def test_a_port_that_is_taken_is_told(configure: Callable[..., io.StringIO]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(Fatal, match="OVERT_METRICS_LISTEN: cannot listen on") as told:
            configure(metrics_listen=f"127.0.0.1:{taken.getsockname()[1]}")
        assert "free port" in str(told.value)


def test_spans_arrive_within_a_second_or_so(configure: Callable[..., io.StringIO], receiver: Receiver) -> None:
    configure(otlp_endpoint=receiver.url)
    with span(SpanName.FRAME, camera="north") as frame, span(SpanName.FRAME_ANALYSE):
        pass
    wait_for(lambda: len(receiver.spans) == 2)
    resource = {a.key: a.value.string_value for a in receiver.traces[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "overt-toy"
    assert set(resource) == {"service.name", "service.instance.id"}
    assert {s.trace_id.hex() for s in receiver.spans} == {frame.traceparent.split("-")[1]}


def test_shutdown_sends_what_is_left(configure: Callable[..., io.StringIO], receiver: Receiver) -> None:
    configure(otlp_endpoint=receiver.url)
    with span(SpanName.FRAME):
        count(Metric.FRAMES_IN, deployment="d", camera="c")
    telemetry.shutdown()
    assert [s.name for s in receiver.spans] == ["frame"]
    names = {
        m.name for r in receiver.metrics for rm in r.resource_metrics for sm in rm.scope_metrics for m in sm.metrics
    }
    assert "overt_frames_in" in names


def test_a_receiver_that_is_away_holds_nothing_up(configure: Callable[..., io.StringIO]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        stream = configure(otlp_endpoint=f"http://127.0.0.1:{free.getsockname()[1]}")
        for _ in range(10):
            with span(SpanName.FRAME):
                pass
        began = time.monotonic()
        telemetry.shutdown(1.0)
        assert time.monotonic() - began < 3.5
    assert all(json.loads(line)["event"] == "library_log" for line in stream.getvalue().splitlines())


def test_a_part_of_the_traces_is_recorded(configure: Callable[..., io.StringIO], receiver: Receiver) -> None:
    configure(otlp_endpoint=receiver.url, trace_ratio=0.0)
    with span(SpanName.FRAME) as frame:
        assert frame.traceparent.endswith(("-00", "-02"))
    with span(SpanName.RPC_SERVE, parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        pass
    telemetry.shutdown()
    assert [s.name for s in receiver.spans] == ["rpc.serve"]


def test_the_environment_of_opentelemetry_is_not_asked(
    configure: Callable[..., io.StringIO], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=secret-place")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    configure(otlp_endpoint=receiver.url)
    with span(SpanName.FRAME):
        pass
    telemetry.shutdown()
    assert len(receiver.spans) == 1
    assert "secret-place" not in str(receiver.traces)
