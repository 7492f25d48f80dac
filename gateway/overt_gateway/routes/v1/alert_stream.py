"""Alerts to a control room as server-sent events. Each listener has a bounded queue and its own end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import Metric, SpanName, gauge, get_logger, observe, span
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from overt_gateway.domain import Deployment, State
from overt_gateway.ports import AlertEvent, Alerts
from overt_gateway.schemas.v1.alerts import AlertEventOut

log = get_logger(__name__)

HEARTBEAT = timedelta(seconds=10)
STALL = timedelta(seconds=15)
"""A listener that takes nothing for so long is dropped; it connects again and misses nothing."""
QUEUE = 64
MOST_LISTENERS = 64
"""Of one gateway. A control room has a handful."""


@dataclass(frozen=True, slots=True)
class _End:
    """The last event, and why."""

    reason: Reason
    detail: str


Current: TypeAlias = Callable[[], Awaitable[Deployment]]
"""A deployment as it is now."""


class _Over(Exception):
    """Ends the listener's task group."""


class AlertFeeds:
    """All listeners of this gateway."""

    def __init__(
        self, *, alerts: Alerts, clock: Clock, heartbeat: timedelta = HEARTBEAT, stall: timedelta = STALL
    ) -> None:
        self.alerts = alerts
        self.clock = clock
        self.heartbeat = heartbeat.total_seconds()
        self.stall = stall.total_seconds()
        self.stopping = asyncio.Event()
        self._listeners = 0

    @property
    def listeners(self) -> int:
        return self._listeners

    def open(self, deployment: Deployment, *, until: datetime, current: Current) -> Response:
        """The answer to a request; it lasts until `until`, when the token expires. `current`: asked before an alert is
        delivered, if `deployment` is still a draft. Retryable if there are too many listeners or the gateway is
        stopping."""
        if self._listeners >= MOST_LISTENERS or self.stopping.is_set():
            raise Retryable("no more listeners are taken at the moment")
        return _Stream(self, deployment, until, current)

    def stop(self) -> None:
        """Tells every listener to come back later, and lets nobody in."""
        self.stopping.set()

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        self._listeners += 1
        gauge(Metric.LISTENERS, self._listeners)
        try:
            yield
        finally:
            self._listeners -= 1
            gauge(Metric.LISTENERS, self._listeners)


class _Stream(Response):
    media_type = "text/event-stream"

    def __init__(self, feeds: AlertFeeds, deployment: Deployment, until: datetime, current: Current) -> None:
        self.status_code = 200
        self.background = None
        self._feeds = feeds
        self._deployment = deployment
        self._until = until
        self._current = current
        self._queue: asyncio.Queue[AlertEvent | _End] = asyncio.Queue(QUEUE)
        self._number = 0
        self.init_headers({"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = f"alerts of {self._deployment.deployment_id}"
        with self._feeds.joined():
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(), name=f"{name}: read")
                    group.create_task(self._until_gone(receive), name=f"{name}: gone")
                    group.create_task(self._until_expired(), name=f"{name}: expiry")
                    group.create_task(self._until_stopped(), name=f"{name}: stop")
                    await self._write(send)
                    raise _Over
            except* _Over:
                pass

    async def _read(self) -> None:
        """From alerts to the queue; then the end, if alerts goes away."""
        end = _End(Reason.UNAVAILABLE, "alerts does not answer at the moment: connect again")
        try:
            async for event in self._feeds.alerts.watch(self._deployment.deployment_id):
                await self._put(event)
        except Retryable:
            pass
        except Rejected as error:
            end = _End(error.reason, str(error))
        await self._put(end)

    async def _put(self, item: AlertEvent | _End) -> None:
        try:
            async with asyncio.timeout(self._feeds.stall):
                await self._queue.put(item)
        except TimeoutError:
            log.warning("listener_dropped", deployment=self._deployment.deployment_id)
            raise _Over from None

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise _Over

    async def _until_expired(self) -> None:
        left = (self._until - self._feeds.clock.now()).total_seconds()
        await asyncio.sleep(max(0.0, left))
        await self._put(_End(Reason.TOKEN_EXPIRED, "log in again"))

    async def _until_stopped(self) -> None:
        await self._feeds.stopping.wait()
        await self._put(_End(Reason.UNAVAILABLE, "the gateway is stopping: connect again"))

    async def _write(self, send: Send) -> None:
        """From the queue to the client, until the end."""
        opened = self._feeds.clock.now()
        await self._send(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        head = {"deployment": self._deployment.deployment_id, "authority": self._deployment.authority}
        await self._send_event(send, "open", json.dumps(head))
        while True:
            try:
                async with asyncio.timeout(self._feeds.heartbeat):
                    item = await self._queue.get()
            except TimeoutError:
                await self._send_body(send, b": still here\n\n")
                continue
            if isinstance(item, _End):
                end = json.dumps({"reason": item.reason.value, "detail": item.detail})
                await self._send_event(send, "end", end)
                await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self._deliver(send, item, fresh=item.alert.raised_at >= opened)

    async def _deliver(self, send: Send, event: AlertEvent, *, fresh: bool) -> None:
        alert = event.alert
        await self._catch_up()
        with span(
            SpanName.GATEWAY_DELIVER,
            links=[alert.traceparent] if alert.traceparent else [],
            deployment=alert.deployment,
            alert=alert.alert_id,
            kind=event.kind,
        ):
            await self._send_event(send, "alert", AlertEventOut.of(event, self._deployment).model_dump_json())
        if fresh and event.kind == "raised":
            after = self._feeds.clock.now() - alert.first_captured_at
            observe(Metric.ALERT_DELIVERED_AFTER, after / timedelta(milliseconds=1))

    async def _catch_up(self) -> None:
        """What an alert is told with was settled when its deployment started, which may be after this stream did."""
        if self._deployment.state is State.DRAFT:
            with contextlib.suppress(Retryable):
                self._deployment = await self._current()

    async def _send_event(self, send: Send, name: str, data: str) -> None:
        self._number += 1
        await self._send_body(send, f"id: {self._number}\nevent: {name}\ndata: {data}\n\n".encode())

    async def _send_body(self, send: Send, body: bytes) -> None:
        await self._send(send, {"type": "http.response.body", "body": body, "more_body": True})

    async def _send(self, send: Send, message: Any) -> None:
        try:
            async with asyncio.timeout(self._feeds.stall):
                await send(message)
        except TimeoutError:
            log.warning("listener_dropped", deployment=self._deployment.deployment_id)
            raise _Over from None
