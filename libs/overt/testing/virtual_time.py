"""An event loop whose time passes only when nobody has anything to do: timeouts without waiting, in order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_BEGIN = 1000.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Not for code that uses threads or sockets: time would run away while they work."""

    def __init__(self) -> None:
        self._virtual_now = _BEGIN
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._virtual_now

    def pass_time(self, seconds: float) -> None:
        self._virtual_now += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everybody waits for somebody else, and no timer runs")
            self._loop.pass_time(max(timeout, 0.0))
        return events


class LoopClock:
    """`overt.runtime.Clock` that shows the time of the running virtual loop."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic() - _BEGIN)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time. Tasks that `main` left behind are cancelled."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
