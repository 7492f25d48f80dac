"""A toy service as a real process: how it starts, stops in the middle of work, and with what exit code it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

pytestmark = pytest.mark.integration

TOY = Path(__file__).with_name("toy_service.py")
PATIENCE_S = 30.0


class Process:
    """The toy, what it wrote so far, and how to ask it for work."""

    def __init__(self, kind: str, folder: Path, **variables: str) -> None:
        self.address_file = folder / "address"
        (folder / "issuer.pem").write_text("public")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERT_")}
        environment |= {
            "OVERT_STRICT_TELEMETRY": "1",
            "OVERT_ISSUER_PUBLIC_KEY_FILE": str(folder / "issuer.pem"),
            "OVERT_ADDRESS_FILE": str(self.address_file),
            "OVERT_DRAIN_SECONDS": "5",
            "OVERT_HARD_EXIT_SECONDS": "8",
            # What it must turn off by itself.
            "PYTHONASYNCIODEBUG": "1",
            **variables,
        }
        self.popen = subprocess.Popen(
            [sys.executable, str(TOY), kind],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            umask=0,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait(self) -> int:
        code = self.popen.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.popen.stdout is not None
        assert self.popen.stdout.read() == ""
        return code

    @property
    def told(self) -> list[dict[str, Any]]:
        """Every line of its log; one that is not JSON fails the test."""
        return [json.loads(line) for line in list(self.lines)]

    @property
    def steps(self) -> list[str]:
        """What happened, in order: the toy's own words and the runtime's events."""
        return [line["step"] if line["event"] == "toy" else line["event"] for line in self.told]

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen in time; it said {self.lines}"
            time.sleep(0.01)

    def until_ready(self) -> str:
        self.until(lambda: self.address_file.exists() or self.popen.poll() is not None)
        assert self.popen.poll() is None, self.lines
        return self.address_file.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start_it(kind: str, **variables: str) -> Process:
        started.append(Process(kind, tmp_path, **variables))
        return started[-1]

    yield start_it
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.wait()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def call(address: str, seconds: float) -> str:
    """One piece of work, over whatever the address says."""
    if address.startswith("http://"):
        with urllib.request.urlopen(f"{address}/work?seconds={seconds}", timeout=PATIENCE_S) as answer:
            return str(json.loads(answer.read()))
    with grpc.insecure_channel(address) as channel:
        work = channel.unary_unary("/toy.Toy/Work")
        answered = work(str(seconds).encode(), timeout=PATIENCE_S)
        assert isinstance(answered, bytes)
        return answered.decode()


@pytest.mark.parametrize("kind", ["grpc", "http", "uvicorn"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_told_to_stop_in_the_middle_of_work_it_finishes_that_and_takes_no_more(
    start: Callable[..., Process], pool: ThreadPoolExecutor, kind: str, number: signal.Signals
) -> None:
    process = start(kind)
    address = process.until_ready()
    accepted: Future[str] = pool.submit(call, address, 1.0)
    process.until(lambda: "accepted" in process.steps)
    process.popen.send_signal(number)
    process.until(lambda: "finish" in process.steps)
    assert not process.address_file.exists()
    with pytest.raises((grpc.RpcError, OSError)):
        call(address, 0)
    assert accepted.result(PATIENCE_S) == "done"
    assert process.wait() == 0
    # uvicorn raises the signal once more at its end, if it may handle signals at all.
    aside = {"stop_step_done", "already_stopping"} if kind == "uvicorn" else {"stop_step_done"}
    relevant = [step for step in process.steps if step not in aside]
    assert relevant == [
        *("start", "open", "ready", "accepted", "stopping", "refuse_new", "finish", "worked", "close"),
    ]
    done = [line["step"] for line in process.told if line["event"] == "stop_step_done"]
    assert done == ["refuse_new", "finish", "end_tasks", "close"]


def test_work_that_outlasts_the_drain_is_cut_short(start: Callable[..., Process], pool: ThreadPoolExecutor) -> None:
    process = start("grpc", OVERT_DRAIN_SECONDS="0.5")
    accepted = pool.submit(call, process.until_ready(), 20.0)
    process.until(lambda: "accepted" in process.steps)
    began = time.monotonic()
    process.popen.terminate()
    with pytest.raises(grpc.RpcError):
        accepted.result(PATIENCE_S)
    assert process.wait() == 0
    assert time.monotonic() - began < 5
    assert "worked" not in process.steps
    assert process.steps[-2:] == ["close", "stop_step_done"]


def test_three_faults_in_the_settings_are_told_at_once(start: Callable[..., Process]) -> None:
    process = start(
        "grpc", OVERT_LISTEN="0.0.0.0:443", OVERT_TOY_SIZE="many", OVERT_NATS_URL="nats://toy:hunter2@127.0.0.1:4222"
    )
    assert process.wait() == 2
    assert process.lines[0] == "overt-toy: 3 faults in the settings:"
    assert [line.split(":")[0].strip() for line in process.lines[1:]] == [
        "OVERT_LISTEN",
        "OVERT_NATS_URL",
        "OVERT_TOY_SIZE",
    ]
    assert process.lines[3] == '  OVERT_TOY_SIZE: given "many"; wants a whole number'
    assert "hunter2" not in "".join(process.lines)


@pytest.mark.parametrize("fault", ["task ends", "task raises"])
def test_a_root_task_that_ends_stops_the_service_and_is_named(start: Callable[..., Process], fault: str) -> None:
    process = start("grpc", OVERT_TOY_FAULT=fault)
    assert process.wait() == 1
    (told,) = [line for line in process.told if line["event"] == "task_ended"]
    assert told["task"] == "watch"
    assert told["level"] == "error"
    assert told.get("error") == ("ValueError" if fault == "task raises" else None)
    assert "Ada Lovelace" not in "".join(process.lines)
    assert process.steps[-2:] == ["close", "stop_step_done"]


@pytest.mark.parametrize("fault", ["close hangs", "loop blocks"])
def test_what_hangs_is_ended_hard(start: Callable[..., Process], fault: str) -> None:
    process = start("grpc", OVERT_TOY_FAULT=fault, OVERT_DRAIN_SECONDS="0.3", OVERT_HARD_EXIT_SECONDS="1")
    process.until_ready()
    process.until(lambda: fault != "loop blocks" or "blocked" in process.steps)
    began = time.monotonic()
    process.popen.terminate()
    assert process.wait() == 3
    assert 0.9 < time.monotonic() - began < 10
    assert process.steps[-1] == "hard_exit"


def test_the_address_file_is_whole_private_and_tells_the_port(start: Callable[..., Process]) -> None:
    process = start("grpc", OVERT_LISTEN="127.0.0.1:0")
    address = process.until_ready()
    host, _, port = address.partition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    assert stat.S_IMODE(process.address_file.stat().st_mode) == 0o600
    assert {path.name for path in process.address_file.parent.iterdir()} == {"address", "issuer.pem"}
    assert call(address, 0) == "done"


def test_a_killed_life_leaves_an_address_that_the_next_one_takes_away(start: Callable[..., Process]) -> None:
    first = start("grpc")
    stale = first.until_ready()
    first.popen.kill()
    first.popen.wait()
    assert first.address_file.read_text() == stale
    second = start("grpc")
    second.until(lambda: "ready" in second.steps)
    assert second.until_ready() == next(line["address"] for line in second.told if line["event"] == "ready") != stale


def test_core_dumps_are_off(start: Callable[..., Process]) -> None:
    process = start("grpc")
    process.until_ready()
    limits = Path(f"/proc/{process.popen.pid}/limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_the_metrics_of_a_service_that_runs(start: Callable[..., Process]) -> None:
    process = start("grpc", OVERT_METRICS_LISTEN="127.0.0.1:0")
    process.until_ready()
    (address,) = [line["address"] for line in process.told if line["event"] == "metrics_listening"]

    def shown() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
            return bytes(answer.read()).decode()

    process.until(lambda: "overt_loop_lag_milliseconds_count" in shown())
    assert "ProcessCollector" not in shown()
    process.popen.terminate()
    assert process.wait() == 0


def test_a_metrics_port_that_is_taken_is_told(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("grpc", OVERT_METRICS_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
        assert process.wait() == 2
    assert process.lines[0].startswith("overt-toy: OVERT_METRICS_LISTEN: cannot listen on 127.0.0.1:")
    assert len(process.lines) == 1


def test_a_web_server_that_cannot_start_ends_the_service(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("http", OVERT_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
        assert process.wait() == 1
    (told,) = [line for line in process.told if line["event"] == "task_ended"]
    assert (told["task"], told["error"]) == ("http", "SystemExit")
