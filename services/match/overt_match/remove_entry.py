"""Takes an entry out of force, at once and whatever the deployment's state; then its bytes are erased."""

from __future__ import annotations

import uuid
from dataclasses import replace

from overt.errors import Rejected, Retryable
from overt.ids import EntryId
from overt.reasons import Reason
from overt.telemetry import get_logger

from overt_match.domain import Head
from overt_match.erasure import Erasure
from overt_match.in_force import ListsInForce
from overt_match.ports import Snapshot

_ATTEMPTS = 10

log = get_logger(__name__)


class RemoveEntry:
    """The use case: a closing act, so it waits for as little as it can.

    First the head says that the entry is removed: from then on no replica that answers lets it match. Then
    `Erasure` seals the rest of the list under a new secret, so that what lies in the store becomes unreadable.
    """

    def __init__(self, *, snapshot: Snapshot, lists: ListsInForce, erasure: Erasure) -> None:
        self._snapshot = snapshot
        self._lists = lists
        self._erasure = erasure

    async def __call__(self, deployment: str, entry_id: str) -> int:
        """The revision without the entry. Removing a removed entry changes nothing. Rejected: wrong_state,
        unknown_entry."""
        if not (await self._snapshot.deployment(deployment)).state.keeps_a_list:
            raise Rejected(Reason.WRONG_STATE, "the deployment has ended: its list is gone")
        wanted = _checked(entry_id)
        for _ in range(_ATTEMPTS):
            head = await self._attempt(deployment, wanted)
            if head is not None:
                return await self._erasure.after(deployment, head)
        raise Retryable("others are changing this list; try again")

    async def _attempt(self, deployment: str, entry_id: EntryId) -> Head | None:
        found = await self._snapshot.head(deployment)
        if not found or found[1].destroyed:
            raise Rejected(Reason.UNKNOWN_ENTRY, "there is no such entry on the list")
        replaces, head = found
        if entry_id in head.removed:
            return head
        try:
            loaded = await self._lists.at(deployment, head.revision, within=1.0)
        except Retryable:
            # The list cannot be loaded now. Removing what is not there does no harm; waiting might.
            log.warning("removed_unseen", deployment=deployment)
        else:
            if entry_id not in loaded.entries:
                raise Rejected(Reason.UNKNOWN_ENTRY, "there is no such entry on the list")
        smaller = replace(
            head, revision=head.revision + 1, size=max(head.size - 1, 0), removed=(*head.removed, entry_id)
        )
        try:
            await self._snapshot.announce(deployment, smaller, replaces)
        except Rejected as lost:
            if lost.reason is not Reason.CONFLICT:
                raise
            return None
        log.info("entry_removed", deployment=deployment, list_size=smaller.size, revision=smaller.revision)
        return smaller


def _checked(entry_id: str) -> EntryId:
    try:
        return EntryId(str(uuid.UUID(entry_id)))
    except ValueError:
        raise Rejected(Reason.UNKNOWN_ENTRY, "there is no such entry on the list") from None
