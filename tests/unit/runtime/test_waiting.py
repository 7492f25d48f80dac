"""An event, at most so long, and no cancellation lost."""

from __future__ import annotations

import asyncio

import pytest
from overt.runtime.waiting import set_within

pytestmark = pytest.mark.unit


async def test_whether_it_was_set_in_time() -> None:
    event = asyncio.Event()
    assert not await set_within(event, 0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await set_within(event, None)
    assert await set_within(event, 0)


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_in_the_turn_of_the_event_counts(turns: int) -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(set_within(event, 60))
    await asyncio.sleep(0)
    event.set()
    waiting_is_over = turns > 0
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    if waiting_is_over:
        assert await waiting
    else:
        with pytest.raises(asyncio.CancelledError):
            await waiting
