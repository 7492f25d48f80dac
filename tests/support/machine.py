"""A whole system for a test: real processes in a directory of the test's own, stopped whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from overt.permissions import Role
from overt_lab.machine import Machine, Options
from overt_lab.rest import Gateway


@contextlib.asynccontextmanager
async def running(data: Path, **options: object) -> AsyncIterator[Machine]:
    """A machine that is up. Strict telemetry: an unclassified log field fails the test that caused it."""
    machine = Machine(Options(data=data, **options))  # type: ignore[arg-type]
    await machine.up()
    try:
        yield machine
    finally:
        await machine.down()


def gateway(machine: Machine, role: Role) -> Gateway:
    return Gateway(machine.gateway_url, lambda: machine.token(role))


async def until(what: str, condition: Callable[[], Awaitable[bool] | bool], *, seconds: float = 15) -> None:
    """Polls a condition; fails with `what` when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while True:
        outcome = condition()
        if not isinstance(outcome, bool):
            outcome = await outcome
        if outcome:
            return
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.05)
