"""Durable consumers of MemoryBus: at least once, given back later and later, buried in the end."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from overt.bus.consumer import HANDLED, LATER, Redelivery, dead_letter, dead_subject, outcome_of
from overt.bus.port import Delivery
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import SpanName, span
from overt.testing.broker import Durable, Kept, MemoryStream


class MemoryConsumer:
    """Like overt.bus.consumer.Consumer. `stream` is looked up anew each time: it may go and come back."""

    def __init__(
        self,
        stream: Callable[[], MemoryStream],
        deployment: str,
        durable: str,
        handler: Callable[[Delivery], Awaitable[None]],
        bury: Callable[[str, bytes, str], None],
        on_buried: Callable[[Delivery], Awaitable[None]] | None,
        redelivery: Redelivery,
        max_in_flight: int,
    ) -> None:
        self._stream = stream
        self._deployment = deployment
        self._durable = durable
        self._handler = handler
        self._bury = bury
        self._on_buried = on_buried
        self._redelivery = redelivery
        self._max_in_flight = max_in_flight
        self._at_work: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._pulling: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._stream().durables.setdefault(self._durable, Durable())
        self._pulling = asyncio.create_task(self._pull(), name="memory consumer")

    async def close(self) -> None:
        pulling, self._pulling = self._pulling, None
        if pulling is None:
            return
        try:
            pulling.cancel()
            await asyncio.wait([pulling])
            if self._at_work:
                await asyncio.wait(set(self._at_work))
        finally:
            for task in self._at_work:
                task.cancel()

    async def _pull(self) -> None:
        while True:
            self._wake.clear()
            wait: float | None = 0.05
            try:
                stream = self._stream()
                durable = stream.durables.setdefault(self._durable, Durable())
                wait = self._deliver_due(stream, durable)
                changed = asyncio.create_task(stream.changed.wait())
            except Retryable:
                changed = asyncio.create_task(asyncio.sleep(wait or 0, True))
            woken = asyncio.create_task(self._wake.wait())
            try:
                await asyncio.wait({changed, woken}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                woken.cancel()

    def _deliver_due(self, stream: MemoryStream, durable: Durable) -> float | None:
        """Starts what there is room for; how long until something is due, None: until something changes."""
        now = asyncio.get_running_loop().time()
        while len(self._at_work) < self._max_in_flight:
            if durable.again and durable.again[0][0] <= now:
                sequence: int | None = heapq.heappop(durable.again)[1]
            else:
                sequence = stream.after(durable.next_sequence)
                if sequence is None:
                    break
                durable.next_sequence = sequence + 1
            kept = stream.get(sequence) if sequence is not None else None
            if kept is not None:
                task = asyncio.create_task(self._handle(durable, kept), name="memory delivery")
                self._at_work.add(task)
                task.add_done_callback(self._done)
        return max(0.0, durable.again[0][0] - now) + 0.001 if durable.again else None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._wake.set()

    async def _handle(self, durable: Durable, kept: Kept) -> None:
        stored = kept.stored
        redeliveries = durable.delivered.get(stored.sequence, 0)
        durable.delivered[stored.sequence] = redeliveries + 1
        delivery = Delivery(stored.subject, stored.data, stored.sequence, redeliveries, kept.traceparent)
        now = asyncio.get_running_loop().time
        try:
            with span(SpanName.BUS_CONSUME, parent=kept.traceparent, sequence=stored.sequence):
                outcome = await outcome_of(self._handler, delivery, self._redelivery)
            if outcome == LATER:
                delay = self._redelivery.delay(redeliveries).total_seconds()
                heapq.heappush(durable.again, (now() + delay, stored.sequence))
            elif outcome != HANDLED:
                reason = Reason(outcome)
                letter = dead_letter(stored.subject, stored.sequence, redeliveries, reason, datetime.now(UTC))
                self._bury(dead_subject(self._deployment, stored.subject), letter, str(stored.sequence))
                if self._on_buried is not None:
                    await self._on_buried(delivery)
        except asyncio.CancelledError:
            heapq.heappush(durable.again, (now(), stored.sequence))
            raise
        except (Retryable, Rejected):  # The dead letter could not be stored, or not all was done.
            again = self._redelivery.longest.total_seconds()
            heapq.heappush(durable.again, (now() + again, stored.sequence))
