"""Time as a dependency, so that tests own it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where everything that has a deadline or a time stamp gets the time."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC. It may jump: use it to stamp, never to measure."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back. Use it to measure and for deadlines."""
        ...


class SystemClock:
    """The real one."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
