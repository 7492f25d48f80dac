"""The order in which a service starts and stops."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from overt.errors import Fatal
from overt.runtime import address_file
from overt.runtime.app import ServiceApp
from overt.runtime.ending import fatal_in
from overt.runtime.lag import measure_loop_lag
from overt.settings import ServiceSettings
from overt.telemetry import get_logger
from overt.telemetry.foreign import capture

STOPPED, FAILED, REFUSED = 0, 1, 2
"""Exit codes: told to stop; something broke; Fatal, which somebody has to put right before it can run."""

# Of the time between the drain deadline and the hard exit, this part is left for the telemetry's last export.
_LEFT_FOR_TELEMETRY = 1 / 3

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class End:
    """How a life ended. `fatal` is what people have to be told when the exit code is REFUSED."""

    exit_code: int
    fatal: Fatal | None


@dataclass(frozen=True, slots=True)
class _Cause:
    """Why the service stops."""

    exit_code: int
    event: str
    fields: dict[str, Any]
    error: BaseException | None = None


class Life:
    """One service from build to close, in the running event loop of the main thread. Use it once.

    `arm_hard_exit(seconds)` may be called more than once; the first call counts.
    """

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        build: Callable[[], ServiceApp],
        *,
        arm_hard_exit: Callable[[float], None],
    ) -> None:
        self._service = service
        self._settings = settings
        self._build = build
        self._arm_hard_exit = arm_hard_exit
        self._loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[_Cause] = self._loop.create_future()
        self._asked_at = 0.0
        self._roots: list[asyncio.Task[None]] = []
        self._opened = False
        self._exit_code = STOPPED
        self._fatal: Fatal | None = None

    async def run(self) -> End:
        """Returns when everything is closed."""
        self._loop.set_exception_handler(self._loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled, number)
            # The loop's handler runs in the loop; this one, beside it, also while the loop is blocked.
            signal.signal(number, lambda number, frame: self._arm_hard_exit(self._settings.hard_exit_seconds))
        if self._settings.address_file is not None:
            address_file.remove(self._settings.address_file)
        try:
            app = self._build()
        except Exception as error:  # noqa: BLE001 - outermost: what a build raises is told, and ends the process
            self._ask(_failure("build", error))
            self._tell(await self._asked)
            return End(self._exit_code, self._fatal)
        # A web server sets up logs of its own when it is built, or as it starts.
        capture()
        async with asyncio.TaskGroup() as group:
            lag = group.create_task(measure_loop_lag(), name=f"{self._service}: loop lag")
            cause = await self._until_asked(app, group)
            self._tell(cause)
            await self._stop(app)
            lag.cancel()
        return End(self._exit_code, self._fatal)

    def _signalled(self, number: signal.Signals) -> None:
        if self._asked.done():
            log.info("already_stopping", signal=number.name)
            return
        self._ask(_Cause(STOPPED, "stopping", {"signal": number.name}))

    def _ask(self, cause: _Cause) -> None:
        """The first cause counts; from here on the hard exit is running."""
        if not self._asked.done():
            self._asked_at = self._loop.time()
            self._asked.set_result(cause)
            self._arm_hard_exit(self._settings.hard_exit_seconds)

    def _tell(self, cause: _Cause) -> None:
        write = log.error if cause.exit_code else log.info
        write(cause.event, error=cause.error, **cause.fields)
        self._exit_code = cause.exit_code
        self._fatal = fatal_in(cause.error)

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A Fatal, told by `end_service` or left in a task that nobody asked, ends the service."""
        _log_loop_error(loop, context)
        if (fatal := fatal_in(context.get("exception"))) is not None:
            self._ask(_failure("task", fatal, task="handler"))

    async def _until_asked(self, app: ServiceApp, group: asyncio.TaskGroup) -> _Cause:
        opening = asyncio.create_task(self._open(app, group), name=f"{self._service}: opening")
        await asyncio.wait((opening, self._asked), return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            await asyncio.wait((opening,))
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self._ask(_failure("start", error))
        return await self._asked

    async def _open(self, app: ServiceApp, group: asyncio.TaskGroup) -> None:
        await app.start()
        # What stands now, stands until the end: some 70,000 objects, which a full collection takes 25 ms to look
        # through, while every thread of the process waits.
        gc.collect()
        gc.freeze()
        capture()
        for name, act in app.tasks().items():
            self._roots.append(group.create_task(self._guard(name, act), name=f"{self._service}: {name}"))
        # A turn of the loop, so that they have begun when the door opens.
        await asyncio.sleep(0)
        try:
            address = await app.open()
        except SystemExit as error:
            # A web server's way of saying that it could not start; it has logged why.
            raise RuntimeError("a server ended the process while it was opened") from error
        self._opened = True
        capture()
        if self._settings.address_file is not None:
            address_file.write(self._settings.address_file, address)
        log.info("ready", address=address)

    async def _guard(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        """Runs a root task. Whatever its end, it is an event, and nothing of it reaches the group."""
        error: BaseException | None = None
        try:
            await act()
        except asyncio.CancelledError as cancelled:
            # By us, after the stop has begun; or by the task itself, which is an end like any other.
            if self._asked.done():
                raise
            error = cancelled
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - outermost: a root task's end is an event
            error = raised
        if not self._asked.done():
            self._ask(_failure("task", error, task=name))
        elif error is not None:
            log.error("task_failed_while_stopping", task=name, error=error)

    async def _stop(self, app: ServiceApp) -> None:
        drained_by = self._asked_at + self._settings.drain_seconds
        rest = self._settings.hard_exit_seconds - self._settings.drain_seconds
        closed_by = drained_by + rest * (1 - _LEFT_FOR_TELEMETRY)
        if self._opened:
            if self._settings.address_file is not None:
                address_file.remove(self._settings.address_file)
            await self._step("refuse_new", app.refuse_new, drained_by)
            await self._step("finish", app.finish, drained_by)
        await self._step("end_tasks", self._end_tasks, closed_by)
        await self._step("close", app.close, closed_by)

    async def _end_tasks(self) -> None:
        for task in self._roots:
            task.cancel()
        if self._roots:
            await asyncio.wait(self._roots)

    async def _step(self, name: str, act: Callable[[], Awaitable[None]], until: float) -> None:
        try:
            async with asyncio.timeout_at(until) as limit:
                await act()
        except Exception as error:  # noqa: BLE001 - outermost: a step that fails must not keep the next from running
            if limit.expired():
                log.warning("stop_step_cut_short", step=name)
                return
            log.error("stop_step_failed", step=name, error=error)
            self._exit_code = self._exit_code or FAILED
            return
        log.info("stop_step_done", step=name)


def _failure(step: str, error: BaseException | None, **fields: Any) -> _Cause:
    code = REFUSED if fatal_in(error) is not None else FAILED
    return _Cause(code, "task_ended" if step == "task" else f"{step}_failed", fields, error)


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler prints the repr of the task, its exception's message and more."""
    error = context.get("exception")
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else None
    log.error("loop_error", error=error if isinstance(error, BaseException) else None, task=name)
