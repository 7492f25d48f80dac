"""The inference pool: blocking work off the event loop, bounded, first come first served.

A stream has one frame in it at most, so first come first served is a round among the streams. Enrolments take
one place between them: a bulk import never holds up the cameras by more than one picture.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from overt.errors import Retryable

T = TypeVar("T")


_NICER = 5


def _go_last() -> None:
    """An inference takes tens of milliseconds and everything else on the machine a few: event loops, decoders, the
    search. They wait for a core less long if this thread, and those that a runtime starts from it, give way."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICER)


class InferencePool:
    """Owns its threads. `run` and `idle` belong to one event loop."""

    def __init__(self, *, workers: int, most_waiting: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="inference", initializer=_go_last)
        self._most = workers + most_waiting
        self._running: set[asyncio.Future[Any]] = set()
        self._one_enrolment = asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Retryable when too much waits already.

        A caller that is cancelled leaves at once; work that has begun goes on to its end without it.
        """
        if len(self._running) >= self._most:
            raise Retryable("detect has more to do than it can hold; try again")
        # The trace goes along into the thread.
        given: Future[T] = self._threads.submit(contextvars.copy_context().run, work)
        waiting = asyncio.wrap_future(given)
        self._running.add(waiting)
        try:
            return await waiting
        finally:
            self._running.discard(waiting)
            # An error, its traceback, this frame and the futures that have the error would keep one another, and the
            # picture that was looked at, alive.
            del given, waiting

    async def run_enrolment(self, work: Callable[[], T]) -> T:
        """The same, one at a time."""
        async with self._one_enrolment:
            return await self.run(work)

    async def idle(self) -> None:
        """Returns when nothing runs or waits."""
        while self._running:
            await asyncio.wait(self._running)

    def close(self) -> None:
        """Drops what waits; what runs ends by itself within a frame's time."""
        self._threads.shutdown(wait=False, cancel_futures=True)
