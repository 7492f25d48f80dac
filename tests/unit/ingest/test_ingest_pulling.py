"""What the threads of a pulled camera hand over, and what they hold on to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from overt.reasons import Reason
from overt.runtime import SystemClock
from overt_ingest.adapters.pull import _options
from overt_ingest.adapters.pulling import Pulling
from overt_ingest.domain.frame import Picture
from support.http_camera import http_camera
from support.ingest_site import jpeg
from support.waiting import until

pytestmark = pytest.mark.unit


class Door:
    """Of a visit, what pulling uses. It destroys what it is given at once, and then looks who else has it."""

    behind = False

    def __init__(self) -> None:
        self.references: list[int] = []
        self.refused: list[Reason | None] = []

    def admit(self, *, sequence: int, captured_at: datetime, picture: Callable[[], Picture]) -> None:
        taken = picture()
        frame = taken._alive()  # type: ignore[attr-defined]  # of a VideoPicture
        taken.destroy()
        self.references.append(sys.getrefcount(frame))

    def pass_over(self, *, captured_at: datetime, reason: Reason | None = None) -> None:
        self.refused.append(reason)


@asynccontextmanager
async def _pulled(picture: bytes) -> AsyncIterator[Door]:
    door = Door()
    async with http_camera(lambda number: picture) as url:
        pulling = Pulling(url, _options(url, None), door, SystemClock())  # type: ignore[arg-type]  # of a visit
        running = asyncio.create_task(pulling.run())
        try:
            yield door
        finally:
            running.cancel()
            await asyncio.wait((running,))


async def test_a_picture_does_not_outlive_its_frame_in_the_thread_that_decoded_it() -> None:
    async with _pulled(jpeg()) as door:
        await until(lambda: len(door.references) >= 5)
    assert set(door.references) == {2}, "ours, and that of the call"


async def test_what_is_too_large_to_be_decoded_is_in_the_books_with_its_reason() -> None:
    async with _pulled(jpeg(5120, 4096)) as door:
        await until(lambda: len(door.refused) >= 2)
    assert set(door.refused) == {Reason.PICTURE_TOO_LARGE}
    assert door.references == []
