"""nats-py swallows a cancellation where it waits for room to write; nothing of ours may outlive its end by that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from overt.bus.connection import Connection

pytestmark = pytest.mark.unit


class Writing:
    """As nats.aio.client.Client waits in `_flush_pending` while its buffer is full."""

    is_connected = True
    max_payload = 1 << 20

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pongs: list[Any] = []

    async def publish(self, *_: object, **__: object) -> None:
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            pass

    subscribe = _send_command = _flush_pending = publish


@pytest.mark.parametrize("what", ["send", "listen", "flush"])
async def test_the_cancellation_is_raised_again(what: str) -> None:
    connection = Connection(Writing(60), "alerts", None, None)  # type: ignore[arg-type]
    act = {
        "send": lambda: connection.send("overt.status.x", b""),
        "listen": lambda: connection.listen("overt.status.x", lambda _: asyncio.sleep(0)),
        "flush": connection.flush,
    }[what]
    writing = asyncio.ensure_future(act())
    await asyncio.sleep(0.01)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(writing, 1)


async def test_what_was_cancelled_may_still_say_its_last_word() -> None:
    connection = Connection(Writing(0), "alerts", None, None)  # type: ignore[arg-type]
    said = False

    async def gives_back() -> None:
        nonlocal said
        try:
            await asyncio.sleep(60)
        finally:
            await connection.send("overt.status.x", b"-NAK")
            said = True

    task = asyncio.create_task(gives_back())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert said
