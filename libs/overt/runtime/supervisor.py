"""Runs child processes: starts them, waits until they are ready, restarts what dies, stops all in reverse order.

A child says that it is ready by writing its address file. What it listens on the first time it is given again
when it is restarted, so that its peers and cameras find it where it was. A child dies with its supervisor, even
if that one is killed (Linux: PR_SET_PDEATHSIG). No child leaves a core dump: nats-server, too, holds templates while
a search passes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from overt.errors import Fatal

_LEASH = str(Path(__file__).with_name("leash.py"))
_RESTART_FIRST_S = 0.2
_RESTART_MOST_S = 5.0
_STEADY_S = 10.0  # a child that lived this long starts its backoff anew
_POLL_S = 0.02
_LOG_BYTES = 8 * 1024 * 1024  # a log is cut when a child starts and it has grown past this


def on_a_leash(*command: str) -> tuple[str, ...]:
    """The command that becomes `command` as a child of this process which dies with it. Linux watches the thread that
    starts it, not the process: start it from one that lives as long."""
    # Isolated and without site packages: it starts in a few milliseconds.
    return (sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *command)


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep alive."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log_file: Path
    address_file: Path | None = None
    """Appears when the child is ready and holds its address. None: ready when `probe` says so."""
    probe: Callable[[], bool] | None = None
    listen_variable: str | None = None
    """The variable that tells the child where to listen; set to the first address on a restart."""
    ready_within: timedelta = timedelta(seconds=60)
    stop_within: timedelta = timedelta(seconds=20)


class Child:
    """A supervised process. Its guard task ends only when it is told to stop."""

    def __init__(self, spec: ChildSpec, on_death: Callable[[str, int], None]) -> None:
        self.spec = spec
        self.restarts = 0
        self.address: str | None = None
        self._on_death = on_death
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._guard: asyncio.Task[None] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Of the living process."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    async def start(self) -> None:
        """Returns when it is ready; Fatal, with the end of its log, when it dies or takes too long."""
        await self._spawn()
        try:
            await self._until_ready()
        except Fatal:
            await self.stop()
            raise
        self._guard = asyncio.create_task(self._keep_alive(), name=f"guard {self.spec.name}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after `stop_within`. Idempotent."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self.spec.stop_within.total_seconds()):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._guard is not None:
            self._guard.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._guard

    def kill(self) -> None:
        """SIGKILL, as a crash would: the guard restarts it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def last_words(self, lines: int = 8) -> str:
        """The end of what its newest process wrote, for an error message."""
        try:
            with self.spec.log_file.open(errors="replace") as file:
                file.seek(self._log_start)
                text = file.read()
        except OSError:
            return "(its log cannot be read)"
        return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"

    async def _spawn(self) -> None:
        spec = self.spec
        if spec.address_file is not None:
            spec.address_file.unlink(missing_ok=True)
        environment = dict(spec.environment)
        if spec.listen_variable and self.address:
            environment[spec.listen_variable] = self.address.rpartition("://")[2]
        too_long = spec.log_file.exists() and spec.log_file.stat().st_size > _LOG_BYTES
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if too_long else os.O_APPEND)
        log = os.open(spec.log_file, flags, 0o600)
        self._log_start = os.fstat(log).st_size
        try:
            if shutil.which(spec.command[0], path=environment.get("PATH")) is None:
                raise Fatal(f"{spec.name}: cannot run {spec.command[0]}: it is not there, or not executable")
            self._process = await asyncio.create_subprocess_exec(
                *on_a_leash(*spec.command),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is the supervisor's to handle: children stop in order, not all at once.
                start_new_session=True,
            )
        except OSError as error:
            raise Fatal(f"{spec.name}: cannot run {spec.command[0]}: {error.strerror}") from error
        finally:
            os.close(log)

    async def _until_ready(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + self.spec.ready_within.total_seconds()
        while not self._ready():
            if self._process.returncode is not None:
                raise Fatal(
                    f"{self.spec.name} ended with exit code {self._process.returncode} before it was ready. "
                    f"Its last words ({self.spec.log_file}):\n{self.last_words()}"
                )
            if asyncio.get_running_loop().time() > deadline:
                raise Fatal(
                    f"{self.spec.name} was not ready within {self.spec.ready_within.total_seconds():.0f} s. "
                    f"Its last words ({self.spec.log_file}):\n{self.last_words()}"
                )
            await asyncio.sleep(_POLL_S)

    def _ready(self) -> bool:
        if self.spec.address_file is not None:
            try:
                self.address = self.spec.address_file.read_text().strip()
            except FileNotFoundError:
                return False
            return True
        return self.spec.probe is None or self.spec.probe()

    async def _keep_alive(self) -> None:
        """Restarts the child whenever it ends, with backoff, until told to stop."""
        loop = asyncio.get_running_loop()
        wait = _RESTART_FIRST_S
        while True:
            assert self._process is not None
            born = loop.time()
            code = await self._process.wait()
            if self._stopping:
                return
            self._on_death(self.spec.name, code)
            if loop.time() - born > _STEADY_S:
                wait = _RESTART_FIRST_S
            await asyncio.sleep(wait)
            wait = min(_RESTART_MOST_S, wait * 2)
            self.restarts += 1
            # A fork that fails for want of memory is one more death, not the end of the guard.
            with contextlib.suppress(Fatal, OSError):
                await self._spawn()


class Supervisor:
    """Children in the order they were started. One event loop, one owner."""

    def __init__(self, on_death: Callable[[str, int], None] = lambda name, code: None) -> None:
        self._on_death = on_death
        self._children: dict[str, Child] = {}

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    @property
    def children(self) -> Mapping[str, Child]:
        return dict(self._children)

    async def start(self, *specs: ChildSpec) -> None:
        """Starts these side by side and returns when all are ready. Fatal as soon as one is not; then `stop`."""
        fresh = [Child(spec, self._on_death) for spec in specs]
        self._children.update({child.spec.name: child for child in fresh})
        starting = [asyncio.create_task(child.start(), name=f"start {child.spec.name}") for child in fresh]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for task in starting:
                task.cancel()
            await asyncio.wait(starting)
            raise

    async def stop(self) -> None:
        """Last started, first stopped; one that cannot be stopped does not keep the others. Idempotent."""
        async with contextlib.AsyncExitStack() as last_first:
            for child in self._children.values():
                last_first.push_async_callback(child.stop)
