"""Blocking work off the event loop: bounded, first come first served."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt_detect.pool import InferencePool

pytestmark = pytest.mark.unit


@pytest.fixture
def pool() -> Iterator[InferencePool]:
    made = InferencePool(workers=1, most_waiting=2)
    yield made
    made.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds a worker up until it is set."""
    event = threading.Event()
    yield event
    event.set()


async def test_results_and_errors_come_back(pool: InferencePool) -> None:
    assert await pool.run(lambda: 6 * 7) == 42

    def refuse() -> None:
        raise Rejected(Reason.TRUNCATED, "cut off")

    with pytest.raises(Rejected):
        await pool.run(refuse)


async def test_work_runs_elsewhere_and_in_the_callers_context(pool: InferencePool) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    variable.set("the trace")
    thread, seen = await pool.run(lambda: (threading.current_thread(), variable.get()))
    assert thread is not threading.current_thread()
    assert seen == "the trace"


async def test_too_much_is_refused_and_the_rest_goes_in_order(pool: InferencePool, gate: threading.Event) -> None:
    order: list[int] = []
    waiting = [asyncio.create_task(pool.run(lambda: gate.wait(10)))]
    waiting += [asyncio.create_task(pool.run(lambda n=n: order.append(n))) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Retryable):
        await pool.run(lambda: None)
    gate.set()
    await asyncio.gather(*waiting)
    assert order == [0, 1]
    await pool.run(lambda: None)


async def test_enrolments_have_one_place_between_them(pool: InferencePool, gate: threading.Event) -> None:
    order: list[str] = []
    held = asyncio.create_task(pool.run(lambda: gate.wait(10)))
    await asyncio.sleep(0)
    enrolments = [asyncio.create_task(pool.run_enrolment(lambda: order.append("enrolment"))) for _ in range(10)]
    await asyncio.sleep(0)
    frame = asyncio.create_task(pool.run(lambda: order.append("frame")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(held, frame, *enrolments)
    assert order[:2] == ["enrolment", "frame"]


async def test_a_caller_may_leave_and_idle_waits_for_the_others(pool: InferencePool, gate: threading.Event) -> None:
    leaver = asyncio.create_task(pool.run(lambda: gate.wait(10)))
    done: list[int] = []
    stayer = asyncio.create_task(pool.run(lambda: done.append(1)))
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    gate.set()
    await asyncio.wait_for(pool.idle(), 10)
    assert done == [1]
    await stayer


class _Camera:
    """A stream: its next frame comes when the answer to the last one is there."""

    def __init__(self, pool: InferencePool, name: str, order: list[str], work: Callable[[], object]) -> None:
        self._pool, self._name, self._order, self._work = pool, name, order, work

    async def send(self, frames: int) -> None:
        for _ in range(frames):
            await self._pool.run(self._analyse)

    def _analyse(self) -> None:
        self._order.append(self._name)
        self._work()


async def test_cameras_take_turns_whatever_their_pictures_cost() -> None:
    pool, order = InferencePool(workers=1, most_waiting=8), list[str]()
    picture = np.zeros((1200, 1600), np.float32)

    def large() -> object:
        return [picture.sum() for _ in range(10)]

    cameras = [_Camera(pool, "slow", order, large), *(_Camera(pool, name, order, lambda: None) for name in "abc")]
    try:
        await asyncio.gather(*(camera.send(20) for camera in cameras))
    finally:
        pool.close()
    counts = Counter[str]()
    for name in order:
        counts[name] += 1
        assert max(counts.values()) - min(counts[each] for each in ("slow", "a", "b", "c")) <= 2
    assert counts == dict.fromkeys(("slow", "a", "b", "c"), 20)


async def test_a_bulk_import_costs_every_camera_at_most_one_picture_a_turn() -> None:
    pool, order = InferencePool(workers=1, most_waiting=8), list[str]()
    cameras = [_Camera(pool, name, order, lambda: None) for name in "ab"]
    try:
        await asyncio.gather(
            *(camera.send(30) for camera in cameras),
            *(pool.run_enrolment(lambda: order.append("enrolment")) for _ in range(10)),
        )
    finally:
        pool.close()
    assert order.count("enrolment") == 10
    gaps = "".join("e" if name == "enrolment" else "." for name in order)
    assert "ee" not in gaps.rstrip("e"), "while cameras wait, never two in a row"


async def test_the_event_loop_goes_on_while_pictures_are_analysed(pool: InferencePool, gate: threading.Event) -> None:
    held = asyncio.create_task(pool.run(lambda: gate.wait(10)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not held.done()
    gate.set()
    assert await held
