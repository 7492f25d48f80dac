"""What the control plane wants of each deployment, and one lock a deployment around acting on it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from overt.bus import Bus
from overt.errors import Rejected
from overt.reasons import Reason
from overt.subjects import DEPLOYMENTS, checked_id

from overt_alerts.adapters.wire import Phase, Wanted, wanted


class Deployments:
    """Asks the bucket itself, not a copy of it: who creates a deployment and calls us a moment later is right.

    What was once seen as ended stays ended here, also if a replica of the bucket that is behind is asked.
    """

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(DEPLOYMENTS)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._over: dict[str, Wanted] = {}

    def lock(self, deployment: str) -> asyncio.Lock:
        """Hold it while keys, streams or the shelf of this deployment are made or removed."""
        return self._locks[checked_id(deployment)]

    def note(self, what: Wanted) -> Wanted:
        """Remembers an end. Returns what is wanted, all considered."""
        known = self._over.get(what.deployment)
        if known is not None and (what.phase is Phase.LIVE or known.phase is Phase.PURGED):
            return known
        if what.phase is not Phase.LIVE:
            self._over[what.deployment] = what
        return what

    async def wanted(self, deployment: str) -> Wanted | None:
        """None if nobody has written it (yet)."""
        stored = await self._bucket.get(checked_id(deployment))
        if stored is None:
            return self._over.get(deployment)
        return self.note(wanted(deployment, stored[1]))

    async def require_not_over(self, deployment: str) -> None:
        """Rejected(WRONG_STATE) once it has ended. One that is only being created is fine."""
        there = await self.wanted(deployment)
        if there is not None and there.phase is not Phase.LIVE:
            raise Rejected(Reason.WRONG_STATE, "this deployment has ended; its list secret is destroyed")
