"""Trying again, for as long as was agreed and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from overt.errors import OvertError, Retryable
from overt.telemetry import get_logger

T = TypeVar("T")

log = get_logger(__name__)


async def retry(
    what: str,
    attempt: Callable[[], Awaitable[T]],
    *,
    for_seconds: float = 30,
    first: float = 0.1,
    most: float = 2,
) -> T:
    """The result of the first `attempt` that succeeds.

    Tries again after Retryable and OSError (which ConnectionError and TimeoutError are), waiting `first` seconds,
    then twice as long each time, up to `most`. After `for_seconds`, an attempt that still runs is cancelled, and
    Retryable tells what the last trouble was. Everything else goes through at once. `what` names the thing tried,
    for people and the log: "connect to the bus".
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + for_seconds
    pause, number = first, 0
    last: BaseException | None = None
    while True:
        number += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await attempt()
        except (Retryable, OSError) as error:
            # At the deadline itself the attempt's own last trouble says more than that it was cut short.
            last = error if last is None or loop.time() < deadline else last
        left = deadline - loop.time()
        if left <= 0:
            raise Retryable(f"{what}: gave up after {for_seconds:g} s and {number} attempts: {_told(last)}") from last
        log.info("trying_again", what=what, attempt=number, error=last)
        await asyncio.sleep(min(pause, left))
        pause = min(most, pause * 2)


def _told(error: BaseException) -> str:
    # The message of a foreign error may quote what it was given.
    return str(error) if isinstance(error, OvertError) else type(error).__name__
