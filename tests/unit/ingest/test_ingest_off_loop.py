"""Work that is rejected keeps nothing alive: no reference cycle holds on to what it looked at."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt_detect.pool import InferencePool
from overt_ingest.adapters.pixels import off_loop
from support.waiting import until

pytestmark = pytest.mark.unit


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def _in_the_pool(work: Callable[[], None]) -> None:
    pool = InferencePool(workers=1, most_waiting=1)
    try:
        await pool.run(work)
    finally:
        pool.close()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("run", [off_loop, _in_the_pool], ids=["ingest", "detect"])
async def test_rejected_work_lets_go_of_its_picture_at_once(
    run: Callable[[Callable[[], None]], Awaitable[None]],
) -> None:
    looked_at: list[weakref.ref[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []

    def work() -> None:
        picture = np.ones((8, 8, 3), np.uint8)
        looked_at.append(weakref.ref(picture))
        raise Rejected(Reason.NOT_A_PICTURE, "no")

    with suppress(Rejected):
        await run(work)
    await until(lambda: looked_at[0]() is None, seconds=2)
