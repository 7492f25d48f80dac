"""Closes a list: nothing can be added, and it can be searched."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import SpanName, get_logger, span

from overt_match.domain import Head, State, list_digest
from overt_match.in_force import ListsInForce
from overt_match.ports import Snapshot

_ATTEMPTS = 5
_MAY_SEAL = frozenset({State.DRAFT, State.SUBMITTED, State.AUTHORISED})

log = get_logger(__name__)


class SealList:
    """The use case."""

    def __init__(self, *, snapshot: Snapshot, lists: ListsInForce) -> None:
        self._snapshot = snapshot
        self._lists = lists

    async def __call__(self, deployment: str) -> Head:
        """The sealed head, loaded by this replica. Sealing a sealed list changes nothing and returns its head.

        Rejected(WRONG_STATE): the deployment is past it, or the list is empty or destroyed. Retryable: the list
        could not be loaded (now).
        """
        with span(SpanName.LIST_SEAL, deployment=deployment):
            state = (await self._snapshot.deployment(deployment)).state
            for _ in range(_ATTEMPTS):
                head = await self._attempt(deployment, state)
                if head is not None:
                    await self._lists.at(deployment, head.revision)
                    return head
            raise Retryable("others are changing this list; try again")

    async def _attempt(self, deployment: str, state: State) -> Head | None:
        found = await self._snapshot.head(deployment)
        if not found or found[1].destroyed or not found[1].size:
            raise Rejected(Reason.WRONG_STATE, "there is nobody on the list: import entries before sealing it")
        replaces, head = found
        if head.sealed and state.keeps_a_list:
            return head
        if state not in _MAY_SEAL:
            raise Rejected(Reason.WRONG_STATE, "a list is sealed before its deployment starts")
        if head.to_erase:
            raise Retryable("a removal is being finished; try again")
        loaded = await self._lists.at(deployment, head.revision)
        if loaded.head.revision != head.revision:
            return None
        digest = await asyncio.to_thread(list_digest, deployment, head.model_digest, loaded.entries.values())
        sealed = replace(head, revision=head.revision + 1, sealed=True, digest=digest)
        try:
            await self._snapshot.announce(deployment, sealed, replaces)
        except Rejected as lost:
            if lost.reason is not Reason.CONFLICT:
                raise
            return None
        log.info("list_sealed", deployment=deployment, list_size=sealed.size, revision=sealed.revision)
        return sealed
