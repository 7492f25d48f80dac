"""Blocking work off the event loop: bounded, first come first served."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator

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
