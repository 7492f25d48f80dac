"""Logs, traces and metrics whose every name is on a closed, classified list.

Nothing is set up at import: until `configure`, everything here does nothing (and still refuses what is
unclassified when OVERT_STRICT_TELEMETRY=1, so that a unit test notices).
"""

from __future__ import annotations

from overt.telemetry.fields import Classification, Unclassified
from overt.telemetry.logs import Logger, get_logger
from overt.telemetry.measuring import count, gauge, observe
from overt.telemetry.metrics import Metric
from overt.telemetry.setup import configure, metrics_address, shutdown
from overt.telemetry.spans import SpanName
from overt.telemetry.tracing import Span, current_traceparent, span

__all__ = [
    "Classification",
    "Logger",
    "Metric",
    "Span",
    "SpanName",
    "Unclassified",
    "configure",
    "count",
    "current_traceparent",
    "gauge",
    "get_logger",
    "metrics_address",
    "observe",
    "shutdown",
    "span",
]
