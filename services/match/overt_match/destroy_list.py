"""Ends a list before its deployment ends it: out of force, out of every memory, unreadable in the store."""

from __future__ import annotations

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import get_logger

from overt_match.domain import Head
from overt_match.erasure import Erasure
from overt_match.ports import Snapshot

_ATTEMPTS = 10

log = get_logger(__name__)


class DestroyList:
    """The use case. There is no way back: a destroyed list takes no imports."""

    def __init__(self, *, snapshot: Snapshot, erasure: Erasure) -> None:
        self._snapshot = snapshot
        self._erasure = erasure

    async def __call__(self, deployment: str) -> None:
        """Idempotent. Retryable: the list is out of force, but not all of it is erased yet; call again."""
        for _ in range(_ATTEMPTS):
            found = await self._snapshot.head(deployment)
            if found is None:
                return
            replaces, head = found
            if not head.destroyed:
                gone = Head(revision=head.revision + 1, generation=head.generation, destroyed=True)
                try:
                    await self._snapshot.announce(deployment, gone, replaces)
                except Rejected as lost:
                    if lost.reason is not Reason.CONFLICT:
                        raise
                    continue
                log.info("list_destroyed", deployment=deployment, revision=gone.revision)
            await self._erasure.destroy(deployment)
            return
        raise Retryable("others are changing this list; try again")
