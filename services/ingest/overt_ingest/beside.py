"""What goes on beside a camera's loop: judging frames, checking and sealing pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from overt.telemetry import get_logger

log = get_logger(__name__)


class Beside:
    """A group of tasks in which a defect costs only the work that met it. Enter it once, in the camera's loop;
    leaving it waits for everything that was started, or cancels it if the loop is cancelled."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Beside:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._group.__aexit__(*error)  # type: ignore[arg-type]  # as it was given to us

    def start(self, work: Callable[[], Awaitable[None]], *, step: str, at_end: Callable[[], object]) -> None:
        """`step` names it in the log. `at_end` is called when the work is over, however it ended and even if it never
        began: what the work owns is let go of there. CancelledError if everything is being cancelled."""
        running = self._run(work, step)
        try:
            task = self._group.create_task(running, name=step)
        except RuntimeError:
            # The group is shutting down, and its caller is about to be told.
            running.close()
            at_end()
            raise asyncio.CancelledError from None
        task.add_done_callback(lambda done: at_end())

    async def _run(self, work: Callable[[], Awaitable[None]], step: str) -> None:
        try:
            await work()
        # The outermost frame of this work.
        except Exception as error:  # noqa: BLE001
            log.error("work_failed", step=step, error=error, **self._labels)
