"""A span and a measurement for every request, named by its route's pattern."""

from __future__ import annotations

import time

from overt.telemetry import Metric, SpanName, observe, span
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overt_gateway.problems import route_of

_STREAM = "/alerts/stream"
"""A stream lasts for hours: as a request it says nothing, and its deliveries have spans of their own."""


class Served:
    """Continues the caller's trace, if it sends a traceparent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].endswith(_STREAM):
            await self._app(scope, receive, send)
            return
        status = 0  # stays so if the caller went away before there was an answer

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        parent = Headers(scope=scope).get("traceparent", "")
        with span(SpanName.HTTP_SERVE, parent=parent, method=_method(scope)) as step:
            await self._app(scope, receive, noted)
            step.set(route=route_of(scope), status=status)
        took_ms = (time.perf_counter() - began) * 1e3
        observe(Metric.HTTP_SERVED, took_ms, method=_method(scope), route=route_of(scope), status=str(status))


def _method(scope: Scope) -> str:
    """A label has few values, whatever a client sends."""
    method = str(scope["method"])
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"
