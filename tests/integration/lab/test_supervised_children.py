"""The supervisor with real processes: readiness, restarts, stopping, and what becomes of children without it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.runtime import supervisor as module
from overt.runtime.supervisor import Child, ChildSpec, Supervisor
from support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

# Says that it is ready, and waits to be told to stop.
SERVES = """
import os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(os.environ["ADDRESS_FILE"]).write_text("127.0.0.1:4711")
signal.pause()
"""
NEVER_READY = "import signal; signal.pause()"


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Nursery:
    """Makes specs of small Python scripts, and keeps what the supervisor told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deaths: list[tuple[str, int]] = []
        self.supervisor = Supervisor(lambda name, code: self.deaths.append((name, code)))

    def spec(
        self,
        name: str,
        script: str,
        *,
        probe: Callable[[], bool] | None = None,
        command: tuple[str, ...] | None = None,
        ready: float = 20,
        stop: float = 10,
        listen_variable: str | None = None,
        **environment: str,
    ) -> ChildSpec:
        address_file = self.folder / f"{name}.address"
        return ChildSpec(
            name=name,
            command=command or (sys.executable, "-I", "-S", "-c", textwrap.dedent(script)),
            environment={"ADDRESS_FILE": str(address_file), **environment},
            log_file=self.folder / f"{name}.log",
            address_file=None if probe else address_file,
            probe=probe,
            listen_variable=listen_variable,
            ready_within=timedelta(seconds=ready),
            stop_within=timedelta(seconds=stop),
        )

    async def start(self, name: str, script: str = SERVES, **how: object) -> Child:
        await self.supervisor.start(self.spec(name, script, **how))  # type: ignore[arg-type]
        return self.supervisor[name]


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    nursery = Nursery(tmp_path)
    yield nursery
    pids = [child.pid for child in nursery.supervisor.children.values() if child.pid]
    await nursery.supervisor.stop()
    assert not [pid for pid in pids if alive(pid)], "a child was left behind"


# --- ready ------------------------------------------------------------------------------------------------------


async def test_ready_when_the_address_file_appears(nursery: Nursery) -> None:
    child = await nursery.start("one")
    assert child.address == "127.0.0.1:4711"
    assert child.pid is not None
    assert alive(child.pid)


async def test_an_address_file_of_an_earlier_life_is_not_believed(nursery: Nursery) -> None:
    (nursery.folder / "one.address").write_text("127.0.0.1:1")
    child = await nursery.start("one")
    assert child.address == "127.0.0.1:4711"


async def test_ready_when_the_probe_says_so(nursery: Nursery) -> None:
    sign = nursery.folder / "one.address"
    asked = 0

    def probe() -> bool:
        nonlocal asked
        asked += 1
        return sign.exists()

    child = await nursery.start("one", probe=probe)
    assert sign.exists()
    assert asked > 1
    assert child.address is None


async def test_one_that_dies_before_it_is_ready_is_fatal_with_its_last_words(nursery: Nursery) -> None:
    (nursery.folder / "one.log").write_text("from an earlier life\n")
    with pytest.raises(Fatal) as fatal:
        await nursery.start("one", "import sys; sys.exit('the port is taken')")
    told = str(fatal.value)
    assert "one ended with exit code 1" in told
    assert "the port is taken" in told
    assert str(nursery.folder / "one.log") in told
    assert "earlier life" not in told


async def test_one_that_dies_silently_says_that(nursery: Nursery) -> None:
    (nursery.folder / "one.log").write_text("from an earlier life\n")
    with pytest.raises(Fatal, match="it wrote nothing"):
        await nursery.start("one", "import os; os._exit(9)")


async def test_one_that_is_not_ready_in_time_is_fatal_and_stopped(nursery: Nursery) -> None:
    with pytest.raises(Fatal, match="one was not ready within"):
        await nursery.start("one", NEVER_READY, ready=0.3)
    assert nursery.supervisor["one"].pid is None


async def test_a_command_that_is_not_there_is_fatal(nursery: Nursery) -> None:
    with pytest.raises(Fatal, match="cannot run /no/such/program: it is not there"):
        await nursery.start("one", command=("/no/such/program",))


async def test_a_command_that_may_not_be_run_is_fatal(nursery: Nursery) -> None:
    (nursery.folder / "program").write_text("")
    with pytest.raises(Fatal, match="program: it is not there, or not executable"):
        await nursery.start("one", command=(str(nursery.folder / "program"),))


async def test_one_failure_does_not_wait_for_the_others(nursery: Nursery) -> None:
    began = time.monotonic()
    with pytest.raises(Fatal, match="bad ended"):
        await nursery.supervisor.start(
            nursery.spec("slow", NEVER_READY, ready=50), nursery.spec("bad", "import os; os._exit(1)")
        )
    assert time.monotonic() - began < 20
    await nursery.supervisor.stop()
    assert nursery.supervisor["slow"].pid is None


# --- what a child gets ------------------------------------------------------------------------------------------


async def test_a_child_gets_its_own_environment_and_no_terminal(nursery: Nursery) -> None:
    script = "import os; print(sorted(os.environ), os.read(0, 1), flush=True)" + SERVES
    child = await nursery.start("one", script, SETTING="x")
    (line,) = (nursery.folder / "one.log").read_text().splitlines()
    assert set(line[1 : line.index("]")].replace("'", "").split(", ")) <= {"ADDRESS_FILE", "LC_CTYPE", "SETTING"}
    assert line.endswith("b''"), "standard input is closed"
    assert child.pid is not None
    assert os.getsid(child.pid) == child.pid, "Ctrl-C in the terminal is the supervisor's to handle"


async def test_no_child_can_leave_a_core_dump(nursery: Nursery) -> None:
    child = await nursery.start("one")
    limits = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
    (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"], "neither the soft nor the hard limit lets it"


async def test_a_log_is_private_and_goes_on(nursery: Nursery) -> None:
    log = nursery.folder / "one.log"
    await nursery.start("one", "print('first', flush=True)" + SERVES)
    assert log.stat().st_mode & 0o777 == 0o600
    nursery.supervisor["one"].kill()
    await until(lambda: log.read_text() == "first\nfirst\n")


async def test_a_log_that_has_grown_too_large_is_cut(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", 100)
    log = nursery.folder / "one.log"
    log.write_text("x" * 100)
    await nursery.start("one", "print('kept', flush=True)" + SERVES)
    assert log.read_text() == "x" * 100 + "kept\n"
    nursery.supervisor["one"].kill()
    await until(lambda: log.read_text() == "kept\n")


# --- restarts ---------------------------------------------------------------------------------------------------

LISTENS = """
import os, pathlib, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
host, _, port = os.environ["LISTEN"].rpartition(":")
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind((host, int(port)))
door.listen()
address = pathlib.Path(os.environ["ADDRESS_FILE"])
partial = address.with_suffix(".new")
partial.write_text("%s%s:%d" % (os.environ["SCHEME"], *door.getsockname()))
partial.replace(address)
signal.pause()
"""


@pytest.mark.parametrize("scheme", ["", "http://", "https://"])
async def test_a_killed_child_comes_back_at_its_address(nursery: Nursery, scheme: str) -> None:
    child = await nursery.start("one", LISTENS, listen_variable="LISTEN", LISTEN="127.0.0.1:0", SCHEME=scheme)
    address, first = child.address, child.pid
    assert address is not None
    assert address.startswith(scheme + "127.0.0.1:")

    child.kill()
    await until(lambda: child.pid not in (None, first))
    await until((nursery.folder / "one.address").exists)
    assert (nursery.folder / "one.address").read_text() == address
    assert nursery.deaths == [("one", -signal.SIGKILL)]
    assert child.restarts == 1


async def test_a_clean_end_is_a_death_too(nursery: Nursery) -> None:
    child = await nursery.start("one")
    assert child.pid is not None
    os.kill(child.pid, signal.SIGTERM)
    await until(lambda: child.restarts == 1 and child.pid is not None)
    assert nursery.deaths == [("one", 0)]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the guard wanted to wait before each restart; it waits a hundredth of that."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def shorter(seconds: float) -> None:
        if seconds >= module._RESTART_FIRST_S:
            asked.append(seconds)
        await sleep(seconds / 100)

    monkeypatch.setattr(asyncio, "sleep", shorter)
    return asked


async def test_restarts_back_off_up_to_a_bound(nursery: Nursery, waits: list[float]) -> None:
    dies = "import os, pathlib; pathlib.Path(os.environ['ADDRESS_FILE']).write_text('x')"
    await nursery.start("one", dies)
    await until(lambda: len(waits) >= 7)
    assert waits[:7] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


async def test_a_steady_life_starts_the_backoff_anew(
    nursery: Nursery, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = await nursery.start("one")
    for restarts in (1, 2):
        child.kill()
        await until(lambda restarts=restarts: child.restarts == restarts and child.pid is not None)
    monkeypatch.setattr(module, "_STEADY_S", 0.0)
    child.kill()
    await until(lambda: child.restarts == 3 and child.pid is not None)
    assert waits == pytest.approx([0.2, 0.4, 0.2])


async def test_a_restart_that_fails_is_tried_again(nursery: Nursery, waits: list[float]) -> None:
    program = nursery.folder / "program"
    program.write_text(f"#!{sys.executable} -IS\n{SERVES}")
    program.chmod(0o700)
    child = await nursery.start("one", command=(str(program),))
    away = program.rename(nursery.folder / "away")
    child.kill()
    await until(lambda: len(waits) >= 3)
    assert child.pid is None
    away.rename(program)
    await until(lambda: child.pid is not None)


# --- stopping ---------------------------------------------------------------------------------------------------

TELLS_ITS_END = """
import os, pathlib, signal, sys, time
def end(*_):
    time.sleep(0.05)
    with open(os.environ["ENDS"], "a") as file:
        file.write(os.environ["NAME"] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(os.environ["ADDRESS_FILE"]).write_text("x")
signal.pause()
"""


async def test_last_started_first_stopped(nursery: Nursery) -> None:
    ends = nursery.folder / "ends"
    for name in ("a", "b", "c"):
        await nursery.start(name, TELLS_ITS_END, NAME=name, ENDS=str(ends))
    await nursery.supervisor.stop()
    assert ends.read_text().split() == ["c", "b", "a"]
    await nursery.supervisor.stop()
    assert nursery.deaths == [], "being told to stop is no death"


async def test_who_does_not_listen_is_killed(nursery: Nursery) -> None:
    deaf = SERVES.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
    child = await nursery.start("deaf", deaf, stop=0.3)
    pid = child.pid
    began = time.monotonic()
    await nursery.supervisor.stop()
    assert 0.3 <= time.monotonic() - began < 5
    assert pid is not None
    assert not alive(pid)


async def test_one_that_cannot_be_stopped_does_not_keep_the_others(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = await nursery.start("first"), await nursery.start("last")

    async def fails() -> None:
        raise OSError("no")

    monkeypatch.setattr(last, "stop", fails)
    with pytest.raises(OSError, match="no"):
        await nursery.supervisor.stop()
    assert first.pid is None
    monkeypatch.undo()


async def test_stopped_while_it_waits_to_restart_it_stays_down(nursery: Nursery) -> None:
    child = await nursery.start("one")
    child.kill()
    await until(lambda: bool(nursery.deaths))
    await nursery.supervisor.stop()
    assert child.pid is None
    assert child.restarts == 0


async def test_a_start_that_is_cancelled_can_be_stopped(nursery: Nursery) -> None:
    starting = asyncio.create_task(nursery.supervisor.start(nursery.spec("one", NEVER_READY)))
    await until(lambda: bool(nursery.supervisor.children) and nursery.supervisor["one"].pid is not None)
    pid = nursery.supervisor["one"].pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await nursery.supervisor.stop()
    assert pid is not None
    assert not alive(pid)


SUPERVISES = """
import asyncio, sys
from pathlib import Path
from overt.runtime.supervisor import ChildSpec, Supervisor

async def main():
    supervisor, folder = Supervisor(), Path(sys.argv[1])
    for name in ("a", "b"):
        # Deaf to SIGTERM: only the kernel's SIGKILL ends it.
        script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        command = (sys.executable, "-I", "-S", "-c", script)
        await supervisor.start(ChildSpec(name=name, command=command, environment={}, log_file=folder / name))
    print(*(child.pid for child in supervisor.children.values()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISES, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    try:
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(alive, pids))
    finally:
        supervisor.kill()
        supervisor.communicate()
    deadline = time.monotonic() + 10
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "a child outlived its supervisor"
        time.sleep(0.02)
