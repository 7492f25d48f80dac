"""Ctrl-C and its like as an event, and work that ends with it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def stop_on_signals() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM, or the terminal going away: each has to end in the same orderly stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # What was started with nohup stays up without its terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    return stop


async def finished(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Does the work. False if `stop` came first: then it was cancelled, and has come to its end."""
    doing = asyncio.create_task(work, name="work")
    stopping = asyncio.create_task(stop.wait(), name="until stopped")
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not doing.done():
            doing.cancel()
        await asyncio.wait({doing})
    if doing.cancelled():
        return False
    doing.result()
    return True
