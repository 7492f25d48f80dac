"""Turns at detect, which all cameras of this process share.

A frame that waits for detect grows old there; one that waits in its camera's slot is replaced by a newer one. So no
more frames are sent than detect can look at, and one more, for which it need not wait.
"""

from __future__ import annotations

import asyncio
from collections import deque

UNKNOWN = 8
"""Turns until detect has said how many pictures it looks at side by side: a detect of another version does not."""

_SPARE = 1


class Turns:
    """First come first served. For one event loop."""

    def __init__(self) -> None:
        self._most = UNKNOWN
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def side_by_side(self, pictures: int) -> None:
        """How many detect looks at; 0 if it does not say."""
        self._most = pictures + _SPARE if pictures else UNKNOWN
        self._hand_on()

    async def take(self, *, first: bool = False) -> None:
        """Returns when it is the caller's turn, which it gives back. `first`: before all that wait."""
        if self._taken < self._most and not self._waiting:
            self._taken += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(mine)
        else:
            self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        self._taken -= 1
        self._hand_on()

    def _hand_on(self) -> None:
        while self._waiting and self._taken < self._most:
            next_one = self._waiting.popleft()
            if not next_one.cancelled():
                self._taken += 1
                next_one.set_result(None)
