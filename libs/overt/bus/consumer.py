"""A durable consumer: pulls what it has room for, acknowledges what is done, gives back what is not.

Bounded on both sides: at most `max_in_flight` messages are out of the server and unhandled at any time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from overt.bus.connection import ApiError, Connection
from overt.bus.port import Delivery
from overt.bus.wire import API, traceparent_of, what_of
from overt.errors import Fatal, OvertError, Rejected, Retryable
from overt.reasons import Reason
from overt.runtime.ending import end_service
from overt.subjects import DEAD, StreamSubject
from overt.telemetry import Metric, SpanName, count, get_logger, span

log = get_logger(__name__)

HANDLED: Final = "handled"
LATER: Final = "later"
_ACK: Final = "$JS.ACK."
_NANOSECONDS: Final = 1_000_000_000
_PULL_SECONDS: Final = 5.0
_HEARTBEAT_SECONDS: Final = 0.5
# Two heartbeats and a half: the pull is lost (a restarted server knows nothing of it), so pull again.
_SILENCE_SECONDS: Final = 1.25
_FIND_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Redelivery:
    """When a message comes back. `ack_wait` is how long the server waits for word of a service that was killed;
    a handler at work is reported every third of it."""

    ack_wait: timedelta = timedelta(seconds=30)
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(seconds=30)
    # Of a handler that fails unexpectedly: about eight minutes of trying.
    most: int = 20

    def delay(self, redeliveries: int) -> timedelta:
        times: int = 2 ** min(redeliveries, 16)
        return min(self.first * times, self.longest)


def dead_subject(deployment: str, subject: str) -> str:
    """`overt.evidence.DEP.CAM` -> `overt.dead.DEP.evidence.CAM`."""
    _, kind, _, *rest = subject.split(".")
    return DEAD.of(deployment, kind, *rest)


def dead_letter(subject: str, sequence: int, redeliveries: int, reason: Reason, at: datetime) -> bytes:
    """What is kept of a message that cannot be handled. Never the message."""
    return json.dumps(
        {
            "subject": subject,
            "sequence": sequence,
            "redeliveries": redeliveries,
            "reason": reason.value,
            "at": at.isoformat(),
        }
    ).encode()


async def outcome_of(handler: Callable[[Delivery], Awaitable[None]], delivery: Delivery, redelivery: Redelivery) -> str:
    """Runs the handler. HANDLED, LATER, or the reason code of a message to bury.

    What is retryable comes again for as long as the stream keeps it: a store that is away for an hour must not
    cost an acknowledged alert. Only a handler that fails in a way nobody foresaw loses patience. A Fatal says
    nothing about the message: it waits for the service's next life, and this one ends.
    """
    try:
        await handler(delivery)
    except Rejected as error:
        return error.reason.value
    except Retryable:
        return LATER
    except Fatal as error:
        end_service(error)
        return LATER
    except Exception:  # the outermost loop: the message must not be lost
        log.exception("bus_handler_failed", what=what_of(delivery.subject), sequence=delivery.sequence)
        return Reason.RETRIES_EXHAUSTED.value if delivery.redeliveries >= redelivery.most else LATER
    return HANDLED


class Consumer:
    def __init__(
        self,
        connection: Connection,
        spec: StreamSubject,
        deployment: str,
        handler: Callable[[Delivery], Awaitable[None]],
        on_buried: Callable[[Delivery], Awaitable[None]] | None,
        redelivery: Redelivery,
        max_in_flight: int,
    ) -> None:
        self._connection = connection
        self._spec = spec
        self._deployment = deployment
        self._stream = spec.stream(deployment)
        # The server lets a service pull only from consumers of its own name.
        self._durable = connection.user
        self._handler = handler
        self._on_buried = on_buried
        self._redelivery = redelivery
        self._max_in_flight = max_in_flight
        self._at_work: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._pulling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Retryable if there is no such stream."""
        await self._find()
        inbox = self._connection.new_inbox()
        listening = await self._connection.listen(inbox, self._arrived.put, messages=4096)
        self._pulling = asyncio.create_task(self._pull(inbox, listening), name=f"consume {self._stream}")

    async def close(self) -> None:
        pulling, self._pulling = self._pulling, None
        if pulling is None:
            return
        try:
            pulling.cancel()
            await asyncio.wait([pulling])
            if self._at_work:
                await asyncio.wait(set(self._at_work))
        except asyncio.CancelledError:
            for task in self._at_work:
                task.cancel()
            # They only give their message back.
            if self._at_work:
                await asyncio.wait(set(self._at_work), timeout=1)
            raise
        finally:
            await self._connection.flush()

    async def _find(self) -> None:
        """Creates the durable consumer, or finds it as it was left."""
        filtered = self._spec.all_of(self._deployment)
        config = {
            "name": self._durable,
            "durable_name": self._durable,
            "filter_subject": filtered,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(self._redelivery.ack_wait.total_seconds() * _NANOSECONDS),
            "max_deliver": -1,
            "max_ack_pending": 1000,
            "replay_policy": "instant",
        }
        try:
            await self._connection.api(
                f"CONSUMER.CREATE.{self._stream}.{self._durable}.{filtered}",
                {"stream_name": self._stream, "config": config},
            )
        except ApiError as error:
            raise Retryable(f"cannot consume {self._stream}: {error}") from None

    async def _pull(self, inbox: str, listening: NatsSubscription) -> None:
        try:
            while True:
                try:
                    await self._pull_once(inbox)
                except Exception as error:  # the outermost loop: the next pull must come
                    # Retryable: the server (the connection logs that) or the stream is away.
                    if not isinstance(error, Retryable):
                        log.exception("bus_pull_failed", stream=self._stream)
                    await asyncio.sleep(_FIND_AGAIN_SECONDS)
        finally:
            await self._connection.end(listening, wait=True)
            self._give_back_unhandled()

    async def _pull_once(self, inbox: str) -> None:
        """One pull of as many as there is room for, until it is used up, over or lost."""
        while (room := self._max_in_flight - len(self._at_work)) <= 0:
            self._room.clear()
            await self._room.wait()
        await self._connection.send(
            f"{API}CONSUMER.MSG.NEXT.{self._stream}.{self._durable}",
            json.dumps(
                {
                    "batch": room,
                    "expires": int(_PULL_SECONDS * _NANOSECONDS),
                    "idle_heartbeat": int(_HEARTBEAT_SECONDS * _NANOSECONDS),
                }
            ).encode(),
            reply=inbox,
        )
        while room > 0:
            try:
                # Not wait_for: cut short, it can lose what it has already taken from the queue.
                async with asyncio.timeout(_SILENCE_SECONDS):
                    message = await self._arrived.get()
            except TimeoutError:
                # The server says nothing either when the consumer, with its stream, is gone.
                await self._find()
                return
            if message.reply.startswith(_ACK):
                room -= 1
                self._work(self._handle(message))
                continue
            status = (message.headers or {}).get("Status")
            if status == "408":  # The pull is over, nothing more came.
                return
            if status != "100":  # Not a heartbeat: the consumer, or its stream, is gone.
                await self._find()
                return

    def _work(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job, name=f"handle {self._stream}")
        self._at_work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._room.set()

    def _give_back_unhandled(self) -> None:
        while not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message.reply.startswith(_ACK):
                self._work(self._give_back(message))

    async def _handle(self, message: Msg) -> None:
        meta = message.metadata
        delivery = Delivery(
            subject=message.subject,
            data=message.data,
            sequence=meta.sequence.stream,
            redeliveries=meta.num_delivered - 1,
            traceparent=traceparent_of(message.headers),
        )
        what = what_of(delivery.subject)
        reporting = asyncio.create_task(self._report_progress(message), name=f"progress {self._stream}")
        outcome = HANDLED
        try:
            with span(
                SpanName.BUS_CONSUME,
                parent=delivery.traceparent,
                stream=self._stream,
                sequence=delivery.sequence,
                redeliveries=delivery.redeliveries,
            ) as here:
                try:
                    outcome = await outcome_of(self._handler, delivery, self._redelivery)
                finally:
                    if outcome != HANDLED:
                        here.fail(outcome)
                    reporting.cancel()
            if outcome == HANDLED:
                await self._say(message, b"+ACK")
            elif outcome == LATER:
                delay = self._redelivery.delay(delivery.redeliveries)
                await self._give_back(message, delay)
            else:
                await self._bury(message, delivery, Reason(outcome))
        except asyncio.CancelledError:
            outcome = "given_back"
            await self._give_back(message)
            raise
        finally:
            count(Metric.BUS_MESSAGES, what=what, outcome=outcome)

    async def _bury(self, message: Msg, delivery: Delivery, reason: Reason) -> None:
        """The record first, then `on_buried`: a message is given up only once both are done. Else it comes again."""
        log.error("bus_message_buried", stream=self._stream, sequence=delivery.sequence, reason=reason.value)
        letter = dead_letter(delivery.subject, delivery.sequence, delivery.redeliveries, reason, datetime.now(UTC))
        try:
            await self._connection.store(
                dead_subject(self._deployment, delivery.subject),
                letter,
                {"Nats-Msg-Id": f"{self._stream}/{delivery.sequence}"},
                timeout=timedelta(seconds=5),
            )
            if self._on_buried is not None:
                await self._on_buried(delivery)
        except Exception as error:  # noqa: BLE001  # the outermost loop: the message must not be lost
            if isinstance(error, Fatal):
                end_service(error)
            log.error("bus_burial_put_off", stream=self._stream, sequence=delivery.sequence, error=error)
            await self._give_back(message, self._redelivery.longest)
        else:
            await self._say(message, b"+TERM")

    async def _report_progress(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(self._redelivery.ack_wait.total_seconds() / 3)
            await self._say(message, b"+WPI")

    async def _give_back(self, message: Msg, delay: timedelta | None = None) -> None:
        body = (
            b"" if delay is None else b" " + json.dumps({"delay": int(delay.total_seconds() * _NANOSECONDS)}).encode()
        )
        await self._say(message, b"-NAK" + body)

    async def _say(self, message: Msg, word: bytes) -> None:
        """A word that is lost with the connection costs a redelivery, nothing else."""
        try:
            await self._connection.send(message.reply, word)
        except OvertError:
            log.debug("bus_word_lost", stream=self._stream)
