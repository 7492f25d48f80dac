"""Closes a list: nothing can be added, and it can be searched."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NamedTuple

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.scoring import Threshold, threshold_for
from overt.telemetry import SpanName, get_logger, span

from overt_match.digest import list_digest
from overt_match.domain import Head, State
from overt_match.in_force import ListsInForce
from overt_match.ports import Snapshot

_ATTEMPTS = 5
_MAY_SEAL = frozenset({State.DRAFT, State.SUBMITTED, State.AUTHORISED})

log = get_logger(__name__)


class Sealed(NamedTuple):
    """`threshold`: None without a calibration."""

    head: Head
    threshold: Threshold | None


class SealList:
    """The use case."""

    def __init__(self, *, snapshot: Snapshot, lists: ListsInForce) -> None:
        self._snapshot = snapshot
        self._lists = lists

    async def __call__(self, deployment: str, target_fpir: float = 0.0) -> Sealed:
        """The sealed head, loaded by this replica, and with a calibration the threshold that `target_fpir` means for
        the references on it. Sealing a sealed list changes nothing and returns its head.

        Rejected: wrong_state if the deployment is past it, or the list is empty or destroyed; bad_field for a target
        that is none. Retryable: the list could not be loaded (now).
        """
        with span(SpanName.LIST_SEAL, deployment=deployment):
            state = (await self._snapshot.deployment(deployment)).state
            for _ in range(_ATTEMPTS):
                head = await self._attempt(deployment, state, target_fpir)
                if head is not None:
                    loaded = await self._lists.at(deployment, head.revision)
                    if loaded.cohort is None:
                        return Sealed(head, None)
                    rates, size = loaded.cohort.score_to_rate, loaded.references
                    return Sealed(head, threshold_for(rates, target_fpir=target_fpir, list_size=size))
            raise Retryable("others are changing this list; try again")

    async def _attempt(self, deployment: str, state: State, target_fpir: float) -> Head | None:
        found = await self._snapshot.head(deployment)
        if not found or found[1].destroyed or not found[1].size:
            raise Rejected(Reason.WRONG_STATE, "there is nobody on the list: import entries before sealing it")
        replaces, head = found
        if head.calibration and not 0 < target_fpir < 1:
            raise Rejected(Reason.BAD_FIELD, "with a calibration, target_fpir is between 0 and 1")
        if head.sealed and state.keeps_a_list:
            return head
        if state not in _MAY_SEAL:
            raise Rejected(Reason.WRONG_STATE, "a list is sealed before its deployment starts")
        if head.has_to_erase:
            raise Retryable("a removal is being finished; try again")
        loaded = await self._lists.at(deployment, head.revision)
        if loaded.head.revision != head.revision:
            return None
        digest = await asyncio.to_thread(
            list_digest, deployment, head.model_digest, loaded.entries.values(), head.calibration_digest
        )
        sealed = replace(head, revision=head.revision + 1, sealed=True, digest=digest)
        try:
            await self._snapshot.announce(deployment, sealed, replaces)
        except Rejected as lost:
            if lost.reason is not Reason.CONFLICT:
                raise
            return None
        log.info("list_sealed", deployment=deployment, list_size=sealed.size, revision=sealed.revision)
        return sealed
