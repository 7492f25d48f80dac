"""NatsBus: the port on a real server. Everything it does is in the modules beside it; this one puts it together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Final, Protocol

from google.protobuf.message import Message

from overt.bus.connection import ApiError, Connection
from overt.bus.consumer import Consumer, Redelivery
from overt.bus.core import Listener, Server
from overt.bus.kept import KeptSubscriptions
from overt.bus.kv import NatsKeyValue
from overt.bus.objects import NatsObjectStore
from overt.bus.opening import BusAddress, open_connection
from overt.bus.port import Bus, Delivery, Handler, P, Payload, Rep, Req, Stored, Subscription
from overt.bus.steward import NatsSteward
from overt.bus.streams import newest, newest_of_every
from overt.bus.wire import checked_pattern, checked_subject, decoded, encoded, raise_error_of, trace_headers, what_of
from overt.errors import Fatal, Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import Bucket, CoreSubject, StreamSubject
from overt.telemetry import Metric, get_logger, observe

log = get_logger(__name__)

DRAIN_TIME: Final = timedelta(seconds=5)
_AT_ONCE: Final = timedelta(milliseconds=100)


class BusSettings(Protocol):
    """The part of ServiceSettings that the bus needs."""

    @property
    def nats_url(self) -> str: ...
    @property
    def nats_user(self) -> str: ...
    @property
    def nats_password_file(self) -> Path | None: ...
    @property
    def tls_ca_file(self) -> Path | None: ...
    @property
    def tls_certificate_file(self) -> Path | None: ...
    @property
    def tls_key_file(self) -> Path | None: ...


class NatsBus(Bus):
    """Made by `connect`. `redelivery` and `drain_time` are for tests to make quick."""

    def __init__(
        self,
        connection: Connection,
        *,
        redelivery: Redelivery = Redelivery(),  # noqa: B008  # frozen
        drain_time: timedelta = DRAIN_TIME,
    ) -> None:
        self._connection = connection
        self._redelivery = redelivery
        self._drain_time = drain_time
        self._subscriptions = KeptSubscriptions()

    @property
    def connected(self) -> bool:
        return self._connection.connected

    async def until_lost(self) -> None:
        """Returns when the server has closed the connection for good (it refuses our user): make it a root task.
        Never returns for a server that is merely away, nor after close()."""
        await self._connection.until_lost()

    async def publish(self, subject: str, message: Payload) -> None:
        await self._connection.send(checked_subject(subject), encoded(message), trace_headers())

    async def subscribe(self, subject: str, message_type: type[P], handler: Handler[P]) -> Subscription:
        return self._subscriptions.keep(
            await Listener.start(self._connection, checked_pattern(subject), message_type, handler)
        )

    async def request(self, subject: str, message: Message, reply_type: type[Rep], *, timeout: timedelta) -> Rep:
        began, outcome = perf_counter(), "failed"
        try:
            answer = await self._connection.ask(
                checked_subject(subject), encoded(message), trace_headers(), timeout=timeout
            )
            raise_error_of(answer.headers)
            reply = decoded(answer.data, reply_type)
            outcome = "answered"
            return reply
        except Rejected as error:
            outcome = error.reason.value
            raise
        except Retryable:
            outcome = "retryable"
            raise
        finally:
            observe(Metric.BUS_REQUESTED, (perf_counter() - began) * 1000, what=what_of(subject), outcome=outcome)

    async def serve(
        self,
        subject: CoreSubject,
        request_type: type[Req],
        handler: Callable[[str, Req], Awaitable[Message]],
        *,
        name: str,
        max_in_flight: int = 64,
    ) -> Subscription:
        return self._subscriptions.keep(
            await Server.start(self._connection, subject, request_type, handler, name=name, max_in_flight=max_in_flight)
        )

    async def append(
        self,
        subject: str,
        payload: Payload,
        *,
        message_id: str | None = None,
        timeout: timedelta = timedelta(seconds=5),
    ) -> int:
        headers = trace_headers()
        if message_id is not None:
            headers["Nats-Msg-Id"] = message_id
        try:
            return await self._connection.store(checked_subject(subject), encoded(payload), headers, timeout=timeout)
        except ApiError as error:
            raise Retryable(f"the stream of {what_of(subject)} does not take this message: {error}") from None

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
        if durable != self._connection.user:
            raise Rejected(
                Reason.NOT_ALLOWED, f"a durable consumer of {self._connection.user} has the service's own name"
            )
        consumer = Consumer(self._connection, spec, deployment, handler, on_buried, self._redelivery, max_in_flight)
        await consumer.start()
        return self._subscriptions.keep(consumer)

    async def last(self, spec: StreamSubject, deployment: str, subject: str) -> Stored | None:
        found = await newest(self._connection, spec.stream(deployment), checked_subject(subject))
        return None if found is None else found[0]

    def latest(self, spec: StreamSubject, deployment: str, *, matching: str | None = None) -> AsyncIterator[Stored]:
        return newest_of_every(
            self._connection, spec.stream(deployment), checked_pattern(matching or spec.all_of(deployment))
        )

    def bucket(self, bucket: Bucket) -> NatsKeyValue:
        return NatsKeyValue(self._connection, bucket)

    def objects(self, deployment: str) -> NatsObjectStore:
        return NatsObjectStore(self._connection, deployment)

    @property
    def steward(self) -> NatsSteward:
        return NatsSteward(self._connection)

    async def drain(self) -> None:
        await self._close_subscriptions(self._drain_time)
        await self._connection.flush()

    async def close(self) -> None:
        # Without a drain before it, what is at work is cut off and given back.
        await self._close_subscriptions(_AT_ONCE)
        await self._connection.close()

    async def _close_subscriptions(self, within: timedelta) -> None:
        if not await self._subscriptions.close(within):
            log.warning("bus_drain_cut_short", seconds=within.total_seconds())


def _address(where: BusSettings | BusAddress) -> BusAddress:
    if isinstance(where, BusAddress):
        return where
    try:
        password = where.nats_password_file.read_text().strip() if where.nats_password_file else ""
    except OSError as error:
        raise Fatal(f"cannot read OVERT_NATS_PASSWORD_FILE: {error.strerror}") from None
    return BusAddress(
        url=where.nats_url,
        user=where.nats_user,
        password=password,
        tls_ca_file=where.tls_ca_file,
        tls_certificate_file=where.tls_certificate_file,
        tls_key_file=where.tls_key_file,
    )


async def connect(
    where: BusSettings | BusAddress,
    *,
    name: str,
    on_loss: Callable[[], None] | None = None,
    on_return: Callable[[], None] | None = None,
    redelivery: Redelivery = Redelivery(),  # noqa: B008  # frozen
    drain_time: timedelta = DRAIN_TIME,
) -> NatsBus:
    """One attempt, of a few seconds at most. Retryable if no server is there (use overt.runtime.retry), Fatal if it
    refuses the user. `name` is shown in the server's monitoring. `on_loss` and `on_return` are called, and must
    not block, whenever the connection goes and comes back."""
    connection = await open_connection(_address(where), name=name, on_loss=on_loss, on_return=on_return)
    return NatsBus(connection, redelivery=redelivery, drain_time=drain_time)
