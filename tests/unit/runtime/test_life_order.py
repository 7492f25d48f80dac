"""The life of a service: the order of its steps, what a step that fails or hangs does, and the exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from overt.errors import Fatal, Retryable
from overt.runtime import ServiceApp
from overt.runtime.ending import end_service
from overt.runtime.life import End, Life
from overt.settings import ServiceSettings

pytestmark = pytest.mark.unit

Act = Callable[[], Awaitable[None]]


async def forever() -> None:
    await asyncio.Event().wait()


class Toy:
    """Writes down what is called. `acts` replaces what a step does; `roots` are its root tasks."""

    def __init__(self, *, roots: Mapping[str, Act] | None = None, **acts: Act) -> None:
        self.called: list[str] = []
        self._roots = {"serve": forever} if roots is None else roots
        self._acts = acts
        self.opened = asyncio.Event()

    async def _step(self, name: str) -> None:
        self.called.append(name)
        if name in self._acts:
            await self._acts[name]()

    async def start(self) -> None:
        await self._step("start")

    def tasks(self) -> Mapping[str, Act]:
        self.called.append("tasks")
        return {name: lambda name=name, act=act: self._root(name, act) for name, act in self._roots.items()}

    async def _root(self, name: str, act: Act) -> None:
        self.called.append(f"{name} begins")
        try:
            await act()
        finally:
            self.called.append(f"{name} ends")

    async def open(self) -> str:
        await self._step("open")
        self.opened.set()
        return "127.0.0.1:4711"

    async def refuse_new(self) -> None:
        await self._step("refuse_new")

    async def finish(self) -> None:
        await self._step("finish")

    async def close(self) -> None:
        await self._step("close")


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    key = tmp_path / "issuer.pem"
    key.write_text("public")
    return ServiceSettings(
        issuer_public_key_file=key,
        address_file=tmp_path / "address",
        drain_seconds=0.2,
        hard_exit_seconds=0.8,
    )


class Armed(list[float]):
    """Instead of the hard exit."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def armed() -> Armed:
    return Armed()


@pytest.fixture
def live(settings: ServiceSettings, armed: Armed) -> Callable[[Callable[[], ServiceApp]], Awaitable[End]]:
    async def run(build: Callable[[], ServiceApp]) -> End:
        life = Life("toy", settings, build, arm_hard_exit=armed)
        async with asyncio.timeout(10):
            return await life.run()

    return run


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


@pytest.fixture
def stop_when_open(settings: ServiceSettings) -> Callable[[Toy], Awaitable[None]]:
    async def wait_and_stop(toy: Toy) -> None:
        await until(lambda: toy.opened.is_set() and settings.address_file and settings.address_file.exists())
        stop()

    return wait_and_stop


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    return [(r.msg, r.overt_fields) for r in caplog.records if hasattr(r, "overt_fields")]


async def test_the_order_from_start_to_close(
    live: Any, stop_when_open: Any, settings: ServiceSettings, armed: Armed, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings.address_file is not None
    seen: list[str] = []

    async def look() -> None:
        seen.append(settings.address_file.read_text() if settings.address_file.exists() else "no address")  # type: ignore[union-attr]

    toy = Toy(open=look, refuse_new=look)
    stopping = asyncio.create_task(stop_when_open(toy))
    end = await live(lambda: toy)
    await stopping
    assert end == End(0, None)
    assert toy.called == [
        *("start", "tasks", "serve begins", "open"),
        *("refuse_new", "finish", "serve ends", "close"),
    ]
    assert set(armed) == {settings.hard_exit_seconds}
    assert seen == ["no address", "no address"]
    assert not settings.address_file.exists()
    assert [name for name, _ in events(caplog)] == ["ready", "stopping", *["stop_step_done"] * 4]
    assert events(caplog)[1][1] == {"signal": "SIGTERM"}


async def test_the_address_is_told_while_it_is_open(live: Any, settings: ServiceSettings) -> None:
    assert settings.address_file is not None
    settings.address_file.write_text("of an earlier life")
    told: list[str] = []

    async def read_and_stop() -> None:
        await until(lambda: toy.opened.is_set() and settings.address_file.exists())  # type: ignore[union-attr]
        told.append(settings.address_file.read_text())  # type: ignore[union-attr]
        stop()

    toy = Toy()
    reading = asyncio.create_task(read_and_stop())
    await live(lambda: toy)
    await reading
    assert told == ["127.0.0.1:4711"]


async def test_root_tasks_run_while_accepted_work_is_finished(live: Any, stop_when_open: Any) -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.05)
        done.set()
        await forever()

    async def wait_for_work() -> None:
        await done.wait()

    toy = Toy(roots={"work": work}, finish=wait_for_work)
    stopping = asyncio.create_task(stop_when_open(toy))
    assert (await live(lambda: toy)).exit_code == 0
    await stopping
    assert done.is_set()


@pytest.mark.parametrize("kind", ["returns", "raises", "cancels itself", "exits"])
async def test_the_end_of_a_root_task_stops_the_service(live: Any, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def ends() -> None:
        await toy.opened.wait()
        if kind == "raises":
            raise ValueError("Ada Lovelace")
        if kind == "cancels itself":
            raise asyncio.CancelledError
        if kind == "exits":
            raise SystemExit(3)

    toy = Toy(roots={"watch deployments": ends, "serve": forever})
    assert await live(lambda: toy) == End(1, None)
    assert toy.called[-4:] == ["refuse_new", "finish", "serve ends", "close"]
    (told,) = [fields for name, fields in events(caplog) if name == "task_ended"]
    assert told["task"] == "watch deployments"
    assert (
        told.get("error")
        == {
            "returns": None,
            "raises": "ValueError",
            "cancels itself": "CancelledError",
            "exits": "SystemExit",
        }[kind]
    )
    assert "Ada" not in caplog.text


async def test_a_fatal_root_task_is_for_people(live: Any) -> None:
    async def ends() -> None:
        await toy.opened.wait()
        raise Fatal("the disk is full: make room")

    toy = Toy(roots={"store": ends})
    end = await live(lambda: toy)
    assert end.exit_code == 2
    assert str(end.fatal) == "the disk is full: make room"


async def test_a_fatal_met_in_a_handler_stops_as_a_root_task_does(live: Any, caplog: pytest.LogCaptureFixture) -> None:
    toy = Toy()
    handlers: set[asyncio.Task[None]] = set()

    async def handler() -> None:
        await toy.opened.wait()
        end_service(Fatal("the keyring's medium failed: restart"))

    async def start() -> None:
        handlers.add(asyncio.create_task(handler()))

    toy._acts["start"] = start
    end = await live(lambda: toy)
    assert end.exit_code == 2
    assert str(end.fatal) == "the keyring's medium failed: restart"
    assert toy.called[-4:] == ["refuse_new", "finish", "serve ends", "close"]
    assert ("task_ended", "handler") in [(name, fields.get("task")) for name, fields in events(caplog)]


async def test_a_fatal_in_a_task_group_of_a_root_task_is_one(live: Any) -> None:
    async def ends() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(forever())
            raise Fatal("the disk is full: make room")

    end = await live(lambda: Toy(roots={"store": ends}))
    assert (end.exit_code, str(end.fatal)) == (2, "the disk is full: make room")


async def test_a_root_task_that_fails_while_stopping_changes_nothing(
    live: Any, stop_when_open: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refused = asyncio.Event()

    async def falls() -> None:
        await refused.wait()
        raise ValueError

    async def refuse() -> None:
        refused.set()

    async def finish() -> None:
        await asyncio.sleep(0.02)

    toy = Toy(roots={"serve": falls}, refuse_new=refuse, finish=finish)
    stopping = asyncio.create_task(stop_when_open(toy))
    assert (await live(lambda: toy)).exit_code == 0
    await stopping
    assert "task_failed_while_stopping" in [name for name, _ in events(caplog)]


async def test_finish_is_cut_short_at_the_drain_deadline(
    live: Any, stop_when_open: Any, settings: ServiceSettings, caplog: pytest.LogCaptureFixture
) -> None:
    toy = Toy(finish=forever)
    stopping = asyncio.create_task(stop_when_open(toy))
    began = asyncio.get_running_loop().time()
    assert (await live(lambda: toy)).exit_code == 0
    await stopping
    assert settings.drain_seconds <= asyncio.get_running_loop().time() - began < settings.hard_exit_seconds
    assert ("stop_step_cut_short", {"step": "finish"}) in events(caplog)
    assert toy.called[-1] == "close"


async def test_a_close_that_hangs_leaves_time_for_the_telemetry(
    live: Any, stop_when_open: Any, settings: ServiceSettings
) -> None:
    toy = Toy(close=forever)
    stopping = asyncio.create_task(stop_when_open(toy))
    began = asyncio.get_running_loop().time()
    await live(lambda: toy)
    await stopping
    assert asyncio.get_running_loop().time() - began < settings.hard_exit_seconds


@pytest.mark.parametrize("step", ["refuse_new", "finish", "close"])
async def test_a_stop_step_that_fails_does_not_keep_the_next_from_running(
    live: Any, stop_when_open: Any, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fall() -> None:
        raise ValueError("Ada Lovelace")

    toy = Toy(**{step: fall})
    stopping = asyncio.create_task(stop_when_open(toy))
    assert (await live(lambda: toy)).exit_code == 1
    await stopping
    assert [name for name in toy.called if "serve" not in name][-3:] == ["refuse_new", "finish", "close"]
    (told,) = [fields for name, fields in events(caplog) if name == "stop_step_failed"]
    assert (told["step"], told["error"]) == (step, "ValueError")
    assert "Ada" not in caplog.text


async def test_a_steps_own_timeout_is_a_failure_not_the_deadline(
    live: Any, stop_when_open: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def late() -> None:
        raise TimeoutError

    toy = Toy(finish=late)
    stopping = asyncio.create_task(stop_when_open(toy))
    assert (await live(lambda: toy)).exit_code == 1
    await stopping
    assert "stop_step_failed" in [name for name, _ in events(caplog)]


@pytest.mark.parametrize(
    ("error", "code"), [(Fatal("port taken"), 2), (Retryable("bus away"), 1), (ValueError("x"), 1)], ids=repr
)
@pytest.mark.parametrize("step", ["start", "open"])
async def test_a_start_that_fails_is_closed_and_never_was_open(
    live: Any, armed: Armed, step: str, error: Exception, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fall() -> None:
        raise error

    toy = Toy(**{step: fall})
    end = await live(lambda: toy)
    assert end.exit_code == code
    assert end.fatal is (error if code == 2 else None)
    assert toy.called[-1] == "close"
    assert "refuse_new" not in toy.called
    assert armed != []
    (told,) = [fields for name, fields in events(caplog) if name == "start_failed"]
    assert told["error"] == type(error).__name__


async def test_a_server_that_exits_in_open_does_not_take_the_stop_with_it(live: Any) -> None:
    async def give_up() -> None:
        raise SystemExit(3)

    toy = Toy(open=give_up)
    assert (await live(lambda: toy)).exit_code == 1
    assert toy.called[-1] == "close"


async def test_a_build_that_fails(live: Any) -> None:
    def build() -> ServiceApp:
        raise Fatal("no model")

    end = await live(build)
    assert end.exit_code == 2
    assert str(end.fatal) == "no model"


async def test_a_signal_while_starting_ends_the_start(live: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def slow() -> None:
        stop()
        await forever()

    toy = Toy(start=slow)
    assert await live(lambda: toy) == End(0, None)
    assert toy.called == ["start", "close"]
    assert "ready" not in [name for name, _ in events(caplog)]


async def test_a_root_task_that_ends_while_opening_stops_the_opening(live: Any) -> None:
    async def ends() -> None:
        return

    toy = Toy(roots={"serve": ends}, open=forever)
    assert (await live(lambda: toy)).exit_code == 1
    assert toy.called[-1] == "close"


async def test_stopping_twice_is_stopping_once(
    live: Any, stop_when_open: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def again() -> None:
        stop()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.02)

    toy = Toy(finish=again)
    stopping = asyncio.create_task(stop_when_open(toy))
    assert (await live(lambda: toy)).exit_code == 0
    await stopping
    assert toy.called.count("close") == toy.called.count("finish") == 1
    assert [f["signal"] for n, f in events(caplog) if n == "already_stopping"] == ["SIGTERM", "SIGINT"]


async def test_tasks_are_named(live: Any, stop_when_open: Any) -> None:
    names: set[str] = set()

    async def look() -> None:
        names.update(task.get_name() for task in asyncio.all_tasks())

    toy = Toy(open=look)
    stopping = asyncio.create_task(stop_when_open(toy))
    await live(lambda: toy)
    await stopping
    assert {"toy: serve", "toy: loop lag", "toy: opening"} <= names


async def test_nothing_of_the_life_is_left_running(live: Any, stop_when_open: Any) -> None:
    toy = Toy()
    stopping = asyncio.create_task(stop_when_open(toy))
    await live(lambda: toy)
    await stopping
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("toy")] == []


@pytest.fixture(autouse=True)
async def _give_signals_back() -> Any:
    yield
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)
    asyncio.get_running_loop().set_exception_handler(None)
