"""Spans and W3C trace context. Free of cost, and of any global of OpenTelemetry, until `configure` turns it on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from overt.telemetry.faults import kind_of
from overt.telemetry.fields import admitted, refuse
from overt.telemetry.spans import SpanName

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_HEADER: Final = "traceparent"
_NAMES: Final = frozenset(SpanName)


class Tracing:
    """The tracer of the process; None while tracing is off. Set by `configure`."""

    tracer: Tracer | None = None


class Span:
    """What `span` yields. Does nothing while tracing is off."""

    __slots__ = ("_span",)

    def __init__(self, otel_span: trace.Span | None) -> None:
        self._span = otel_span

    def set(self, **attributes: object) -> None:
        """Adds attributes, classified like log fields. None is left out."""
        if self._span is not None:
            for name, value in admitted("span_attribute", attributes).items():
                if value is not None:
                    self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """Marks the span as failed; `kind` is a reason code or an exception's type."""
        if self._span is not None:
            for value in admitted("span_attribute", {"error": kind}).values():
                self._span.set_attribute("error", str(value))
            self._span.set_status(Status(StatusCode.ERROR))

    @property
    def traceparent(self) -> str:
        """Of this span; "" while tracing is off."""
        return "" if self._span is None else _traceparent(trace.set_span_in_context(self._span))


_OFF: Final = Span(None)


@contextlib.contextmanager
def span(
    name: SpanName | str, *, parent: str | None = None, links: Sequence[str] = (), **attributes: object
) -> Iterator[Span]:
    """A step, as a child of `parent`.

    `parent` None: a child of the span around it, if any. A W3C traceparent: a child of that one. "" or one that
    does not parse: the beginning of a new trace. `links`: traceparents of other causes; what does not parse is
    left out. Of an exception that goes through, the type is recorded and nothing else.
    """
    if name not in _NAMES:
        refuse("span_name", f"span name {str(name)!r} is not in overt.telemetry.spans.SpanName")
        name = SpanName.UNNAMED
    tracer = Tracing.tracer
    kept = admitted("span_attribute", attributes)
    if tracer is None:
        yield _OFF
        return
    started = tracer.start_span(
        str(SpanName(name).value),
        context=None if parent is None else _context(parent),
        attributes={field: value for field, value in kept.items() if value is not None},
        links=_links(links),
        record_exception=False,
        set_status_on_exception=False,
    )
    ours = Span(started)
    token = otel_context.attach(trace.set_span_in_context(started))
    try:
        yield ours
    except Exception as error:
        ours.fail(kind_of(error))
        raise
    finally:
        # Not `otel_context.detach`: it logs an error when an async generator is closed from another task's
        # context, where there is nothing to restore.
        with contextlib.suppress(ValueError):
            token.var.reset(token)
        started.end()


def current_traceparent() -> str:
    """The W3C traceparent of the span around the caller; "" without one or while tracing is off."""
    return "" if Tracing.tracer is None else _traceparent(otel_context.get_current())


def _traceparent(context: otel_context.Context) -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    return carrier.get(_HEADER, "")


def _context(traceparent: str) -> otel_context.Context:
    return _PROPAGATOR.extract({_HEADER: traceparent}, otel_context.Context())


def _links(traceparents: Sequence[str]) -> list[Link]:
    contexts = (trace.get_current_span(_context(given)).get_span_context() for given in traceparents)
    return [Link(context) for context in contexts if context.is_valid]
