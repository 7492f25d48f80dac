"""Waiting for an event, at most so long, without losing a cancellation."""

from __future__ import annotations

import asyncio


async def set_within(event: asyncio.Event, seconds: float | None) -> bool:
    """Whether it was set in time; None waits for as long as it takes.

    Not asyncio.wait_for: before Python 3.12, cancelled in the turn in which what it waits for happens, it returns as
    if nobody had cancelled it. A root task that loops around it then outlives its service's stop."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
