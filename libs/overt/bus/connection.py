"""One connection to a nats-server, kept for ever: it reconnects by itself and buffers nothing meanwhile.

Replies come to an inbox of our own instead of nats-py's, so that a lost connection, or a refusal by the server's
permissions, fails the requests that wait at once and not at their deadline.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from nats.aio.client import PING_PROTO, Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error, MaxPayloadError, SlowConsumerError

from overt.bus.wire import API, HEADER_ROOM, what_of
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import MAX_MESSAGE_BYTES
from overt.telemetry import Metric, count, gauge, get_logger

log = get_logger(__name__)

FLUSH_SECONDS = 2
_UNSENT_MILLISECONDS = 5000
_REFUSED_SUBSCRIPTION = re.compile(r'permissions violation for subscription to "([^"]*)"')


GONE: Final = (Error, OSError)
"""What nats-py raises when the server is not there: its own errors, or the socket's."""


class ApiError(Exception):
    """JetStream's own refusal; `code` is its err_code. Does not leave overt.bus."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


@dataclass(slots=True)
class _Waiting:
    reply: asyncio.Future[Msg]
    subject: str


def inbox_of(user: str) -> str:
    """Where one user's replies go; no other user may listen there."""
    return f"_INBOX_{user}"


class Connection:
    """Made by `open_connection`."""

    def __init__(
        self,
        client: Client,
        user: str,
        on_loss: Callable[[], None] | None,
        on_return: Callable[[], None] | None,
    ) -> None:
        self.client = client
        self.user = user
        self._on_loss = on_loss
        self._on_return = on_return
        self._inbox = f"{inbox_of(user)}.{secrets.token_hex(8)}"
        self._tokens = itertools.count()
        self._waiting: dict[str, _Waiting] = {}
        self._refused: set[str] = set()
        self._closing = False
        self._gone = asyncio.Event()
        self._lost_for_good = asyncio.Event()
        self.user_refused = False
        self.tls_error: ssl.SSLError | None = None

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    def new_inbox(self) -> str:
        return f"{inbox_of(self.user)}.{secrets.token_hex(8)}"

    async def listen(
        self,
        subject: str,
        callback: Callable[[Msg], Awaitable[None]],
        *,
        messages: int = 1024,
        size: int = 64 * 1024 * 1024,
    ) -> NatsSubscription:
        """One message at a time; what comes while `messages` or `size` bytes wait is dropped and counted.
        Rejected(NOT_ALLOWED) if the server refuses."""
        try:
            with _not_swallowed():
                subscription = await self.client.subscribe(
                    subject, cb=callback, pending_msgs_limit=messages, pending_bytes_limit=size
                )
        except GONE as error:
            raise Retryable(f"cannot listen on the bus ({type(error).__name__})") from error
        await self.heard(subscription)
        return subscription

    async def heard(self, *subscriptions: NatsSubscription) -> None:
        """The server knows these subscriptions; Rejected(NOT_ALLOWED), and none of them is left, if it refused one."""
        await self.flush()
        refused = [s.subject for s in subscriptions if s.subject.lower() in self._refused]
        if refused:
            for subscription in subscriptions:
                await self.end(subscription, wait=False)
            raise _not_allowed(refused[0])

    async def send(self, subject: str, data: bytes, headers: dict[str, str] | None = None, reply: str = "") -> None:
        if not self.connected:
            raise Retryable("the bus is not connected")
        self._check_size(data, headers)
        try:
            with _not_swallowed():
                await self.client.publish(subject, data, reply=reply, headers=headers or None)
        except MaxPayloadError as error:
            raise self._too_large() from error
        except GONE as error:
            raise Retryable(f"the bus is not connected ({type(error).__name__})") from error

    async def ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None, *, timeout: timedelta) -> Msg:
        """One reply. Retryable: nobody listens, no answer in time, the connection is or goes away."""
        token = str(next(self._tokens))
        waiting = _Waiting(asyncio.get_running_loop().create_future(), subject)
        self._waiting[token] = waiting
        try:
            # Outside the timeout: waiting for room to write has one of its own, FLUSH_SECONDS.
            await self.send(subject, data, headers, reply=f"{self._inbox}.{token}")
            async with asyncio.timeout(timeout.total_seconds()):
                message = await waiting.reply
        except TimeoutError:
            raise Retryable(f"no answer from {what_of(subject)} within {timeout.total_seconds():g} s") from None
        finally:
            self._waiting.pop(token, None)
            if waiting.reply.done() and not waiting.reply.cancelled():
                waiting.reply.exception()
        if message.headers and message.headers.get("Status") == "503":
            raise Retryable(f"nobody answers {what_of(subject)}")
        return message

    async def api(self, subject: str, body: object = None, *, timeout: timedelta = timedelta(seconds=5)) -> Any:
        """A call of JetStream's API, answered in JSON. ApiError if it says no."""
        data = b"" if body is None else json.dumps(body).encode()
        answer = json.loads((await self.ask(API + subject, data, timeout=timeout)).data)
        if error := answer.get("error"):
            raise ApiError(int(error.get("err_code", 0)), str(error.get("description", "")))
        return answer

    async def store(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, *, timeout: timedelta
    ) -> int:
        """Publishes into a stream and waits for its word. The sequence; ApiError if it says no."""
        answer = json.loads((await self.ask(subject, data, headers, timeout=timeout)).data)
        if error := answer.get("error"):
            raise ApiError(int(error.get("err_code", 0)), str(error.get("description", "")))
        return int(answer["seq"])

    async def end(self, subscription: NatsSubscription, *, wait: bool) -> None:
        """Stops listening; with `wait`, after what has arrived has been handled. Idempotent; a lost server does
        not matter. Instead of nats-py's drain, which raises while reconnecting and, cut short, leaves the
        subscription and its task behind."""
        try:
            if self.connected and not subscription._closed:
                with _not_swallowed():
                    await self.client._send_unsubscribe(subscription._id)
                if wait:
                    await self.flush()
            self.client._remove_sub(subscription._id)
            if wait and not subscription._closed:
                await subscription._pending_queue.join()
        except GONE:
            pass
        finally:
            self.client._remove_sub(subscription._id)
            subscription._closed = True
            subscription._stop_processing()

    async def flush(self) -> None:
        """Everything sent so far has reached the server, or the server is away (2 s at most).

        Instead of nats-py's flush, which writes its PING ahead of the commands that wait to be written, and
        whose timeout cancels a future that the PONG, when it comes after all, ends the reading task with.
        """
        if not self.connected:
            return
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        gone = asyncio.create_task(self._gone.wait())
        self.client._pongs.append(pong)
        try:
            with _not_swallowed():
                await self.client._send_command(PING_PROTO)
            with _not_swallowed():
                await self.client._flush_pending()
            either: set[asyncio.Future[Any]] = {pong, gone}
            await asyncio.wait(either, timeout=FLUSH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        except GONE:
            pass
        finally:
            gone.cancel()

    async def close(self) -> None:
        self._closing = True
        self._fail_waiting("the bus was closed")
        try:
            async with asyncio.timeout(5):
                await self.client.close()
        except GONE:
            # It may have stopped half way, with tasks left behind.
            for subscription in self.client._subs.values():
                subscription._stop_processing()

    async def until_lost(self) -> None:
        await self._lost_for_good.wait()

    async def start(self) -> None:
        """Call once, connected."""
        self._bound_silence()
        await self.listen(f"{self._inbox}.*", self._replied, messages=65536)
        gauge(Metric.BUS_CONNECTED, 1)

    async def disconnected(self) -> None:
        gauge(Metric.BUS_CONNECTED, 0)
        self._gone.set()
        self._fail_waiting("the connection to the bus was lost")
        if not self._closing:
            log.warning("bus_lost")
            _call(self._on_loss)

    async def returned(self) -> None:
        self._bound_silence()
        self._gone.clear()
        gauge(Metric.BUS_CONNECTED, 1)
        log.info("bus_back")
        _call(self._on_return)

    async def closed(self) -> None:
        if not self._closing:
            log.error("bus_closed_by_server")
            self._lost_for_good.set()

    async def failed(self, error: Exception) -> None:
        """nats-py tells here what it does not raise: refusals, failed attempts to connect, dropped messages."""
        text = str(error)
        if "permissions violation" in text:
            # nats-py hands the server's sentence over in lower case.
            if found := _REFUSED_SUBSCRIPTION.search(text):
                self._refused.add(found[1])
            for waiting in self._waiting.values():
                if f'"{waiting.subject.lower()}"' in text and not waiting.reply.done():
                    waiting.reply.set_exception(_not_allowed(waiting.subject))
            log.error("bus_refused", error=type(error).__name__)
        elif isinstance(error, SlowConsumerError):
            count(Metric.BUS_MESSAGES, what=what_of(error.subject), outcome="dropped")
        elif "authorization violation" in text.lower():
            # While reconnecting, too: another password than ours must be read, which a new process does.
            log.error("bus_user_refused")
            self.user_refused = True
            self._lost_for_good.set()
        elif isinstance(error, ssl.SSLError):
            log.error("bus_tls_failed", reason=error.reason or "unknown")
            self.tls_error = error
        elif not isinstance(error, OSError):
            log.info("bus_trouble", error=type(error).__name__)

    async def _replied(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting and not waiting.reply.done():
            waiting.reply.set_result(message)

    def _bound_silence(self) -> None:
        """nats-py closes a lost connection only once what it wrote is sent, which a server that hangs, or a network
        that is cut, would put off for many minutes: the kernel gives up sooner."""
        writer = getattr(self.client._transport, "_io_writer", None)
        connected = writer.get_extra_info("socket") if writer else None
        if connected is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNSENT_MILLISECONDS)

    def _fail_waiting(self, why: str) -> None:
        for waiting in self._waiting.values():
            if not waiting.reply.done():
                waiting.reply.set_exception(Retryable(why))

    def _check_size(self, data: bytes, headers: dict[str, str] | None) -> None:
        room = sum(len(k) + len(v.encode()) + 4 for k, v in headers.items()) + 16 if headers else 0
        if len(data) > MAX_MESSAGE_BYTES or len(data) + room > self.client.max_payload:
            raise self._too_large()

    def _too_large(self) -> Rejected:
        most = min(MAX_MESSAGE_BYTES, self.client.max_payload - HEADER_ROOM)
        return Rejected(Reason.MESSAGE_TOO_LARGE, f"a message on the bus is at most {most} bytes")


@contextmanager
def _not_swallowed() -> Iterator[None]:
    """Raises the cancellation that came meanwhile: nats-py swallows it where it waits for room to write, and who
    was to end would go on for ever."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


def _call(callback: Callable[[], None] | None) -> None:
    """What it raises would end nats-py's reconnecting task."""
    if callback is not None:
        try:
            callback()
        except Exception:
            log.exception("bus_callback_failed")


def _not_allowed(subject: str) -> Rejected:
    return Rejected(Reason.NOT_ALLOWED, f"this service may not use {what_of(subject)} on the bus")
