"""The standard health service. Its own servicer, because the library's asynchronous one starts as SERVING,
cannot be set without awaiting its slowest watcher, and forgets a watcher when another of the same name leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

MOST_WATCHERS = 64
"""Nobody is asked for a token here, and a watch lasts as long as its caller likes."""

_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """One answer for the whole server ("") and for each of its services; NOT_SERVING until told otherwise."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset({""})
        self._serving = False
        self._ended = False
        self._watchers = 0
        # Set and replaced at every change: whoever waits holds the one of its own time.
        self._changed = asyncio.Event()

    def name(self, services: Iterable[str]) -> None:
        """The services there are. Before start."""
        self._names = frozenset({"", *services})

    def set(self, serving: bool) -> None:
        """Takes effect at once. In the event loop's thread only."""
        if serving is not self._serving and not self._ended:
            self._serving = serving
            self._changed.set()
            self._changed = asyncio.Event()

    def end(self) -> None:
        """NOT_SERVING for good; whoever watches is told so and let go, so that no watch holds up a stop."""
        self._serving, self._ended = False, True
        self._changed.set()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return self._answer(request.service)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        if self._watchers >= MOST_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch already: check instead")
        self._watchers += 1
        try:
            while True:
                # As they are before the answer: what changes while it is being written is answered next.
                changed, last = self._changed, self._ended
                yield self._answer(request.service)
                if last:
                    return
                await changed.wait()
        finally:
            self._watchers -= 1

    def _answer(self, service: str) -> health_pb2.HealthCheckResponse:
        if service not in self._names:
            return _Status(status=_Status.SERVICE_UNKNOWN)
        return _Status(status=_Status.SERVING if self._serving else _Status.NOT_SERVING)
