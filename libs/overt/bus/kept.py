"""The subscriptions that a bus has to close in the end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from overt.bus.port import Subscription


class KeptSubscriptions:
    """Forgets each one when it is closed: its handler may hold what was to be forgotten."""

    def __init__(self) -> None:
        self._open: set[_Kept] = set()

    def keep(self, subscription: Subscription) -> Subscription:
        """The same one, which takes itself out."""
        kept = _Kept(subscription, self._open)
        self._open.add(kept)
        return kept

    async def close(self, within: timedelta) -> bool:
        """All of them; whether they closed in time. Those that did not are cut off."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await asyncio.gather(*(kept.close() for kept in tuple(self._open)))
        except TimeoutError:
            return False
        return True


class _Kept:
    def __init__(self, subscription: Subscription, among: set[_Kept]) -> None:
        self._subscription: Subscription | None = subscription
        self._among = among

    async def close(self) -> None:
        if self._subscription is None:
            return
        try:
            await self._subscription.close()
        finally:
            # Also when it was cut off: it has cancelled what was at work.
            self._among.discard(self)
            self._subscription = None
