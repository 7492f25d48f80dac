"""Core NATS: subscriptions, and the micro-service that answers requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import Service

from overt.bus.connection import GONE, Connection
from overt.bus.port import Handler, P, Req
from overt.bus.wire import decoded, encoded, error_headers, traceparent_of, what_of
from overt.errors import Fatal, OvertError, Rejected, Retryable
from overt.runtime.ending import end_service
from overt.subjects import CoreSubject
from overt.telemetry import Metric, SpanName, count, get_logger, span

log = get_logger(__name__)

WAITING_PER_HANDLER = 4


class Listener:
    """A core subscription."""

    def __init__(self, connection: Connection, subscription: NatsSubscription) -> None:
        self._connection = connection
        self._subscription: NatsSubscription | None = subscription

    @classmethod
    async def start(cls, connection: Connection, subject: str, message_type: type[P], handler: Handler[P]) -> Listener:
        what = what_of(subject)

        async def handle(message: Msg) -> None:
            outcome = "handled"
            with span(SpanName.BUS_RECEIVE, parent=traceparent_of(message.headers), what=what) as here:
                try:
                    await handler(message.subject, decoded(message.data, message_type))
                except Exception as error:  # noqa: BLE001  # the outermost loop: the next message must come
                    outcome = told(error, what)
                    here.fail(outcome)
            count(Metric.BUS_MESSAGES, what=what, outcome=outcome)

        return cls(connection, await connection.listen(subject, handle))

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        try:
            await self._connection.end(subscription, wait=True)
        except asyncio.CancelledError:
            await self._connection.end(subscription, wait=False)
            raise


class Server:
    """A micro-service with one endpoint."""

    def __init__(self, connection: Connection, service: Service, tasks: set[asyncio.Task[None]]) -> None:
        self._connection = connection
        self._service: Service | None = service
        self._tasks = tasks

    @classmethod
    async def start(
        cls,
        connection: Connection,
        subject: CoreSubject,
        request_type: type[Req],
        handler: Callable[[str, Req], Awaitable[Message]],
        *,
        name: str,
        max_in_flight: int,
    ) -> Server:
        tasks: set[asyncio.Task[None]] = set()
        free = asyncio.Semaphore(max_in_flight)

        async def answer(request: Request) -> None:
            async with free:
                await _answer(connection, request, request_type, handler)

        # nats-py calls one at a time and would tell a caller the repr of what this raises: it never waits or raises.
        async def accept(request: Request) -> None:
            if len(tasks) >= max_in_flight * (1 + WAITING_PER_HANDLER):
                await _reply(connection, request, b"", error_headers(Retryable("too many requests wait")))
                count(Metric.BUS_MESSAGES, what=what_of(request.subject), outcome="busy")
                return
            task = asyncio.create_task(answer(request), name=f"{name} request")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            service = await add_service(connection.client, name=name, version="1.0.0")
            await service.add_endpoint(
                name=name, subject=subject.every, queue_group=subject.queue or name, handler=accept
            )
        except GONE as error:
            raise Retryable(f"cannot serve on the bus ({type(error).__name__})") from error
        await connection.heard(*_subscriptions(service))
        return cls(connection, service, tasks)

    async def close(self) -> None:
        service, self._service = self._service, None
        if service is None:
            return
        try:
            # Not service.stop(): it throws away the requests that have already arrived.
            await asyncio.gather(*(self._connection.end(s, wait=True) for s in _subscriptions(service)))
            if self._tasks:
                await asyncio.wait(set(self._tasks))
        finally:
            for subscription in _subscriptions(service):
                await self._connection.end(subscription, wait=False)
            for task in self._tasks:
                task.cancel()


def _subscriptions(service: Service) -> list[NatsSubscription]:
    endpoints = [e._subscription for e in service._endpoints if e._subscription]
    return [*endpoints, *service._subscriptions.values()]


async def _answer(
    connection: Connection,
    request: Request,
    request_type: type[Req],
    handler: Callable[[str, Req], Awaitable[Message]],
) -> None:
    what, began, outcome = what_of(request.subject), perf_counter(), "handled"
    data, headers = b"", None
    with span(SpanName.BUS_SERVE, parent=traceparent_of(request.headers), what=what) as here:
        try:
            data = encoded(await handler(request.subject, decoded(request.data, request_type)))
        except asyncio.CancelledError:
            await _reply(connection, request, b"", error_headers(Retryable("the peer is stopping")))
            raise
        except Exception as error:  # noqa: BLE001  # the outermost loop: the caller is told, the service lives
            outcome = told(error, what)
            here.fail(outcome)
            headers = error_headers(error)
        here.set(took_ms=(perf_counter() - began) * 1000)
    await _reply(connection, request, data, headers)
    count(Metric.BUS_MESSAGES, what=what, outcome=outcome)


async def _reply(connection: Connection, request: Request, data: bytes, headers: dict[str, str] | None) -> None:
    """A caller that gave no reply subject, or a lost connection, is nobody to tell."""
    if reply := request._msg.reply:
        try:
            await connection.send(reply, data, headers)
        except OvertError:
            log.debug("bus_reply_lost", what=what_of(request.subject))


def told(error: Exception, what: str) -> str:
    """Logs a handler's failure; the outcome to count. A Fatal ends the service."""
    if isinstance(error, Rejected):
        log.warning("bus_message_rejected", what=what, reason=error.reason.value)
        return error.reason.value
    if isinstance(error, Retryable):
        log.warning("bus_message_retryable", what=what)
        return "retryable"
    if isinstance(error, Fatal):
        end_service(error)
    log.exception("bus_handler_failed", what=what)
    return "failed"
