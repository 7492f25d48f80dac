"""Puts a cohort in force for a list that nobody is on yet: statistics of references are made when they are imported."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import get_logger

from overt_match.calibration import Calibration, opened
from overt_match.domain import Head, State
from overt_match.erasure import Erasure
from overt_match.ports import ListKeys, Snapshot

_ATTEMPTS = 5

log = get_logger(__name__)


class CalibrateList:
    """The use case. A cohort that another one replaces is erased as a removed entry is."""

    def __init__(self, *, snapshot: Snapshot, keys: ListKeys, erasure: Erasure) -> None:
        self._snapshot = snapshot
        self._keys = keys
        self._erasure = erasure

    async def __call__(self, deployment: str, content: bytes, model_digest: str = "") -> tuple[int, Calibration | None]:
        """The revision, and what may be told of the cohort in force: that of `content`, or none if it is empty. Putting
        the one in force in force again changes nothing. `model_digest`: of the model that makes the list's templates,
        where the caller knows.

        Rejected: wrong_state, list_sealed, list_not_empty, model_mismatch; see `opened`. Retryable when the store or
        alerts is away.
        """
        if (await self._snapshot.deployment(deployment)).state is not State.DRAFT:
            raise Rejected(Reason.WRONG_STATE, "a calibration is put in force while the deployment is a draft")
        calibration = (await asyncio.to_thread(opened, content))[1] if content else None
        if calibration and model_digest and calibration.model_digest != model_digest:
            raise Rejected(
                Reason.MODEL_MISMATCH,
                "this cohort was made with another model than the list's pictures are templated with: make it again "
                "with `overt calibrate`, with the model that runs here",
            )
        for _ in range(_ATTEMPTS):
            head = await self._attempt(deployment, content, calibration)
            if head is not None:
                return await self._erasure.after(deployment, head), calibration
        raise Retryable("others are changing this list; try again")

    async def _attempt(self, deployment: str, content: bytes, calibration: Calibration | None) -> Head | None:
        """None if somebody else changed the list meanwhile."""
        found = await self._snapshot.head(deployment)
        replaces, head = found if found else (None, Head())
        if head.destroyed:
            raise Rejected(Reason.WRONG_STATE, "this list was destroyed")
        if head.calibration_digest == (calibration.digest if calibration else ""):
            return head
        if head.sealed:
            raise Rejected(Reason.LIST_SEALED, "the list is sealed: its calibration stays")
        if head.size:
            raise Rejected(
                Reason.LIST_NOT_EMPTY,
                "entries are measured against the calibration when they are imported: remove them, then change it",
            )
        if head.to_erase:
            raise Retryable("a removal is being finished; try again")
        secret = await self._keys.secret(deployment, head.generation)
        part = await self._snapshot.write_cohort(deployment, content, secret) if calibration else ""
        changed = replace(
            head,
            revision=head.revision + 1,
            generation=secret.generation,
            calibration=calibration,
            calibration_part=part,
            cohort_to_erase=head.cohort_to_erase or bool(head.calibration_part),
        )
        try:
            await self._snapshot.announce(deployment, changed, replaces)
        except Rejected as lost:
            if lost.reason is not Reason.CONFLICT:
                raise
            await self._snapshot.discard(deployment, [part] if part else [])
            return None
        log.info("calibration_changed", deployment=deployment, revision=changed.revision)
        return changed
