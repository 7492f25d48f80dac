"""Waiting for a condition, with a deadline: no test sleeps and hopes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], bool | Awaitable[bool]], *, seconds: float = 10) -> None:
    """Returns as soon as `holds()`; TimeoutError if that takes longer."""
    async with asyncio.timeout(seconds):
        while True:
            answer = holds()
            if (await answer) if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.02)
