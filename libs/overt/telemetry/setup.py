"""Turning telemetry on for a process, and off again."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from overt.telemetry import foreign
from overt.telemetry.lines import JsonLines
from overt.telemetry.logs import Threshold, get_logger
from overt.telemetry.measuring import Instruments, Measuring
from overt.telemetry.tracing import Tracing

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import TracerProvider

    from overt.settings import ServiceSettings
    from overt.telemetry.exporting import PrometheusPage

log = get_logger(__name__)


class _Configured:
    """What `configure` set up and `shutdown` takes down. One for the process."""

    handler: JsonLines | None = None
    page: PrometheusPage | None = None
    meters: MeterProvider | None = None
    tracers: TracerProvider | None = None
    root_level: int = logging.WARNING


def configure(service: str, settings: ServiceSettings, *, stream: TextIO | None = None) -> None:
    """Logs to stderr (or `stream`); traces and metrics where the settings say, if they do.

    Fatal when the Prometheus port cannot be had. A second call replaces the first.
    """
    shutdown()
    _start_logs(service, settings.log_level, stream)
    try:
        _start_exports(service, settings)
    except BaseException:
        shutdown()
        raise


def metrics_address() -> str | None:
    """Where the Prometheus page is, the port resolved; None when it is off."""
    return _Configured.page.address if _Configured.page is not None else None


def shutdown(timeout_seconds: float = 3.0) -> None:
    """Exports what is left and turns everything off; blocks for at most about `timeout_seconds`. Idempotent."""
    Tracing.tracer = None
    Measuring.instruments = None
    tracers, meters, page = _Configured.tracers, _Configured.meters, _Configured.page
    _Configured.tracers = _Configured.meters = _Configured.page = None
    endings: list[Callable[[], None]] = []
    if tracers is not None:
        endings.append(tracers.shutdown)
    if meters is not None:
        endings.append(meters.shutdown)
    if page is not None:
        endings.append(page.close)
    _run_side_by_side(endings, timeout_seconds)
    _stop_logs()


def _start_logs(service: str, level: str, stream: TextIO | None) -> None:
    root = logging.getLogger()
    _Configured.root_level = root.level
    _Configured.handler = JsonLines(service, stream)
    Threshold.level = _LEVELS[level]
    root.setLevel(foreign.LOWEST_LEVEL)
    root.addHandler(_Configured.handler)
    foreign.capture()
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _stop_logs() -> None:
    if _Configured.handler is None:
        return
    sys.excepthook = sys.__excepthook__
    threading.excepthook = threading.__excepthook__
    sys.unraisablehook = sys.__unraisablehook__
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.removeHandler(_Configured.handler)
    root.setLevel(_Configured.root_level)
    Threshold.level = logging.INFO
    _Configured.handler = None


def _start_exports(service: str, settings: ServiceSettings) -> None:
    if settings.metrics_listen is None and settings.otlp_endpoint is None:
        return
    # Imported only when wanted: these take a quarter of a second, and everything imports this package.
    from opentelemetry.sdk.resources import Resource

    from overt.telemetry import exporting

    # Not Resource.create: that would read OTEL_* variables and name the host and the command line.
    resource = Resource({"service.name": f"overt-{service}", "service.instance.id": str(os.getpid())})
    readers: list[MetricReader] = []
    if settings.metrics_listen is not None:
        _Configured.page = exporting.PrometheusPage(settings.metrics_listen)
        readers.append(_Configured.page.reader)
        log.info("metrics_listening", address=_Configured.page.address)
    if settings.otlp_endpoint is not None:
        receiver = exporting.OtlpReceiver(settings.otlp_endpoint, settings.tls_ca_file)
        _Configured.tracers = exporting.tracer_provider(resource, receiver, settings.trace_ratio)
        Tracing.tracer = _Configured.tracers.get_tracer("overt")
        readers.append(exporting.otlp_reader(receiver))
    _Configured.meters = exporting.meter_provider(resource, readers)
    Measuring.instruments = Instruments(_Configured.meters.get_meter("overt"))


def _run_side_by_side(endings: list[Callable[[], None]], timeout_seconds: float) -> None:
    # Daemon threads: one that hangs (a receiver that is away) is left behind.
    threads = [threading.Thread(target=ending, daemon=True, name="telemetry-shutdown") for ending in endings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_seconds)


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    log.error("uncaught", error=error.with_traceback(traceback))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        log.error("uncaught_in_thread", error=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        log.error("unraisable", error=args.exc_value)
