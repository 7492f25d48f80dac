"""MemoryBus: the bus without a server, under the same contract suite as NatsBus (tests/contract/bus).

    bus = MemoryBus()                      # may do everything
    ingest = bus.again(Service.INGEST)     # another connection to the same memory, with that service's permissions
    bus.broker.down(); bus.broker.up()     # what losing the server is like

As with a real server there are no buckets before `steward.ensure_operation()`, and no streams of a deployment
before `steward.ensure(deployment)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from google.protobuf.message import Message

from overt.bus.consumer import Redelivery
from overt.bus.core import WAITING_PER_HANDLER, told
from overt.bus.kept import KeptSubscriptions
from overt.bus.nats import DRAIN_TIME
from overt.bus.port import Bus, Delivery, Handler, P, Payload, Rep, Req, Stored, Subscription
from overt.bus.steward import overlap
from overt.bus.wire import checked_pattern, checked_subject, decoded, encoded, error_headers, raise_error_of, what_of
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import DEAD, STREAMS, Bucket, CoreSubject, Service, StreamSubject
from overt.telemetry import SpanName, current_traceparent, span
from overt.testing.broker import MemoryBroker, MemoryConnection
from overt.testing.deliveries import MemoryConsumer
from overt.testing.stores import MemoryKeyValue, MemoryObjectStore, MemorySteward


class _Listener:
    def __init__(self, bus: MemoryBus, pattern: str, deliver: Callable[[str, bytes, str], Awaitable[None]]) -> None:
        self._listeners = bus.broker.listeners
        self._pattern = pattern
        self._deliver = deliver
        self._queue: asyncio.Queue[tuple[str, bytes, str]] = asyncio.Queue(1024)
        self._task = asyncio.create_task(self._run(), name="memory listener")
        self._listeners.append(self._offer)

    def _offer(self, subject: str, data: bytes, traceparent: str) -> None:
        if overlap(subject, self._pattern) and not self._queue.full():
            self._queue.put_nowait((subject, data, traceparent))

    async def _run(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                await self._deliver(*message)
            finally:
                self._queue.task_done()

    async def close(self) -> None:
        if self._offer in self._listeners:
            self._listeners.remove(self._offer)
            try:
                await self._queue.join()
            finally:
                self._task.cancel()


class _Server:
    def __init__(
        self,
        bus: MemoryBus,
        subject: CoreSubject,
        answer: Callable[[str, bytes], Awaitable[bytes]],
        max_in_flight: int,
    ) -> None:
        self._servers = bus.broker.servers
        self._pattern = subject.every
        self._answer = answer
        self._free = asyncio.Semaphore(max_in_flight)
        self._most = max_in_flight * (1 + WAITING_PER_HANDLER)
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._servers.append((self._pattern, self._ask))

    async def _ask(self, subject: str, data: bytes, traceparent: str) -> bytes:
        if len(self._tasks) >= self._most:
            raise Retryable("too many requests wait")
        # A task of its own: a caller that gives up does not take the handler with it.
        task = asyncio.create_task(self._run(subject, data, traceparent), name="memory request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait([task])
        if task.cancelled():
            raise Retryable("the peer is stopping")
        return task.result()

    async def _run(self, subject: str, data: bytes, traceparent: str) -> bytes:
        async with self._free:
            with span(SpanName.BUS_SERVE, parent=traceparent, what=what_of(subject)):
                return await self._answer(subject, data)

    async def close(self) -> None:
        if (self._pattern, self._ask) in self._servers:
            self._servers.remove((self._pattern, self._ask))
            try:
                if self._tasks:
                    await asyncio.wait(set(self._tasks))
            finally:
                for task in self._tasks:
                    task.cancel()


class MemoryBus(Bus):
    """`redelivery` and `drain_time` are for tests to make quick."""

    def __init__(
        self,
        service: Service | None = None,
        *,
        broker: MemoryBroker | None = None,
        redelivery: Redelivery = Redelivery(),  # noqa: B008  # frozen
        drain_time: timedelta = DRAIN_TIME,
        on_loss: Callable[[], None] | None = None,
        on_return: Callable[[], None] | None = None,
    ) -> None:
        self.broker = broker or MemoryBroker()
        self._connection = MemoryConnection(self.broker, service)
        self._redelivery = redelivery
        self._drain_time = drain_time
        self._subscriptions = KeptSubscriptions()
        self._on_loss = on_loss
        self._on_return = on_return
        self._lost = asyncio.Event()
        self.broker.watch(self._changed)

    def again(self, service: Service | None = None) -> MemoryBus:
        """Another connection to the same broker."""
        return MemoryBus(service, broker=self.broker, redelivery=self._redelivery, drain_time=self._drain_time)

    @property
    def connected(self) -> bool:
        return self._connection.connected

    async def until_lost(self) -> None:
        """Never returns: nobody refuses a user here."""
        await asyncio.Event().wait()

    async def publish(self, subject: str, message: Payload) -> None:
        data = encoded(message)
        self._connection.check_publish(subject)
        for offer in list(self.broker.listeners):
            offer(subject, data, current_traceparent())
        await asyncio.sleep(0)

    async def subscribe(self, subject: str, message_type: type[P], handler: Handler[P]) -> Subscription:
        self._connection.check_listen(checked_pattern(subject))

        async def deliver(at: str, data: bytes, traceparent: str) -> None:
            with span(SpanName.BUS_RECEIVE, parent=traceparent, what=what_of(at)):
                try:
                    await handler(at, decoded(data, message_type))
                except Exception as error:  # noqa: BLE001  # the outermost loop: the next message must come
                    told(error, what_of(at))

        return self._subscriptions.keep(_Listener(self, subject, deliver))

    async def request(self, subject: str, message: Message, reply_type: type[Rep], *, timeout: timedelta) -> Rep:
        data = encoded(message)
        self._connection.check_publish(subject)
        asks = [ask for pattern, ask in self.broker.servers if overlap(subject, pattern)]
        if not asks:
            raise Retryable(f"nobody answers {what_of(subject)}")
        ask = asks[next(self.broker.turn) % len(asks)]
        asking = asyncio.create_task(ask(subject, data, current_traceparent()))
        lost = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({asking, lost}, timeout=timeout.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return decoded(asking.result(), reply_type)
            if lost.done():
                raise Retryable("the connection to the bus was lost")
            raise Retryable(f"no answer from {what_of(subject)} within {timeout.total_seconds():g} s")
        finally:
            asking.cancel()
            lost.cancel()

    async def serve(
        self,
        subject: CoreSubject,
        request_type: type[Req],
        handler: Callable[[str, Req], Awaitable[Message]],
        *,
        name: str,
        max_in_flight: int = 64,
    ) -> Subscription:
        self._connection.check_listen(subject.every)

        async def answer(at: str, data: bytes) -> bytes:
            try:
                return encoded(await handler(at, decoded(data, request_type)))
            except Exception as error:  # the outermost loop: the caller is told, the service lives
                told(error, what_of(at))
                raise_error_of(error_headers(error))
                raise

        return self._subscriptions.keep(_Server(self, subject, answer, max_in_flight))

    async def append(
        self,
        subject: str,
        payload: Payload,
        *,
        message_id: str | None = None,
        timeout: timedelta = timedelta(seconds=5),
    ) -> int:
        data = encoded(payload)
        self._connection.check_publish(subject)
        spec = next((s for s in STREAMS if overlap(subject, s.every)), None)
        if spec is None:
            raise Retryable(f"no stream takes {what_of(subject)}")
        stream = self._connection.stream(spec.stream(subject.split(".")[2]))
        await asyncio.sleep(0)
        return stream.append(subject, data, message_id=message_id, traceparent=current_traceparent())

    async def consume(
        self,
        spec: StreamSubject,
        deployment: str,
        durable: str,
        handler: Callable[[Delivery], Awaitable[None]],
        *,
        on_buried: Callable[[Delivery], Awaitable[None]] | None = None,
        max_in_flight: int = 16,
    ) -> Subscription:
        if self._connection.service not in (None, durable):
            raise Rejected(Reason.NOT_ALLOWED, "a durable consumer has the service's own name")
        self._connection.check_read(spec.every)

        def bury(subject: str, letter: bytes, message_id: str) -> None:
            self._connection.check_publish(subject)
            self._connection.stream(DEAD.stream(deployment)).append(subject, letter, message_id=message_id)

        consumer = MemoryConsumer(
            lambda: self._connection.stream(spec.stream(deployment)),
            deployment,
            durable,
            handler,
            bury,
            on_buried,
            self._redelivery,
            max_in_flight,
        )
        consumer.start()
        return self._subscriptions.keep(consumer)

    async def last(self, spec: StreamSubject, deployment: str, subject: str) -> Stored | None:
        self._connection.check_read(checked_subject(subject))
        found = self._connection.stream(spec.stream(deployment)).newest(subject)
        return found.stored if found else None

    async def latest(
        self, spec: StreamSubject, deployment: str, *, matching: str | None = None
    ) -> AsyncIterator[Stored]:
        self._connection.check_read(checked_pattern(matching or spec.every))
        stream = self._connection.stream(spec.stream(deployment))
        for kept in stream.newest_of_every(matching or spec.all_of(deployment)):
            yield kept.stored

    def bucket(self, bucket: Bucket) -> MemoryKeyValue:
        return MemoryKeyValue(self._connection, bucket)

    def objects(self, deployment: str) -> MemoryObjectStore:
        return MemoryObjectStore(self._connection, deployment)

    @property
    def steward(self) -> MemorySteward:
        return MemorySteward(self._connection)

    async def drain(self) -> None:
        await self._subscriptions.close(self._drain_time)

    async def close(self) -> None:
        await self._subscriptions.close(timedelta(milliseconds=100))
        self._connection.closed = True
        self._lost.set()

    def _changed(self, is_up: bool) -> None:
        if is_up:
            self._lost.clear()
        else:
            self._lost.set()
        callback = self._on_return if is_up else self._on_loss
        if callback is not None and not self._connection.closed:
            callback()
