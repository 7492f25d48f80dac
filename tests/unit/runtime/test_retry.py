"""retry: on what it tries again, how long, and what it says when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from overt.errors import Fatal, Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import retry

pytestmark = pytest.mark.unit


class Attempts:
    """Raises these one by one, then succeeds; remembers when it was called."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(asyncio.get_running_loop().time())
        if self._errors:
            raise self._errors.pop(0)
        return "done"


async def test_the_first_success_is_the_result() -> None:
    attempts = Attempts()
    assert await retry("connect", attempts) == "done"
    assert len(attempts.times) == 1


@pytest.mark.parametrize(
    "error", [Retryable("away"), ConnectionRefusedError(), FileNotFoundError(), TimeoutError()], ids=repr
)
async def test_it_tries_again(error: Exception) -> None:
    assert await retry("connect", Attempts(error, error), first=0.001) == "done"


@pytest.mark.parametrize(
    "error", [Rejected(Reason.NOT_ALLOWED, "no"), Fatal("no"), ValueError("no"), KeyError("no")], ids=repr
)
async def test_everything_else_goes_through_at_once(error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await retry("connect", attempts)
    assert len(attempts.times) == 1


async def test_pauses_double_up_to_the_most() -> None:
    attempts = Attempts(*[Retryable("away")] * 5)
    await retry("connect", attempts, first=0.02, most=0.05)
    pauses = [after - before for before, after in zip(attempts.times, attempts.times[1:], strict=False)]
    for pause, least in zip(pauses, [0.02, 0.04, 0.05, 0.05, 0.05], strict=True):
        assert pause >= least * 0.9


async def test_it_gives_up_in_time_and_says_why() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Retryable, match=r"connect to the bus: gave up after 0.1 s and \d+ attempts: it is away"):
        await retry("connect to the bus", Attempts(*[Retryable("it is away")] * 1000), for_seconds=0.1, first=0.01)
    assert 0.1 <= loop.time() - began < 2


async def test_a_foreign_errors_text_is_not_quoted() -> None:
    with pytest.raises(Retryable, match=r"ConnectionRefusedError$") as told:
        await retry("x", Attempts(*[ConnectionRefusedError("Ada Lovelace")] * 99), for_seconds=0.02, first=0.01)
    assert isinstance(told.value.__cause__, ConnectionRefusedError)


async def test_an_attempt_that_hangs_is_cut_short() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(Retryable, match="TimeoutError"):
        await retry("connect", hang, for_seconds=0.05)
    assert cancelled.is_set()


async def test_the_trouble_before_the_hang_is_what_is_told() -> None:
    errors: list[Callable[[], Awaitable[None]]] = [Attempts(Retryable("wrong password")), asyncio.Event().wait]  # type: ignore[list-item]

    async def attempt() -> None:
        await errors.pop(0)()

    with pytest.raises(Retryable, match="wrong password"):
        await retry("connect", attempt, for_seconds=0.05, first=0.01)


async def test_cancelling_it_is_cancelling() -> None:
    task = asyncio.create_task(retry("connect", Attempts(*[Retryable("away")] * 9), first=10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
