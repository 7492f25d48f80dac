"""What the calibration in force lets expect, before anybody passes."""

from __future__ import annotations

import asyncio
import math

from overt.cohort import Cohort
from overt.errors import Rejected
from overt.limits import MAX_FOOTFALL
from overt.reasons import Reason
from overt.scoring import Forecast, forecast, threshold_for

from overt_match.calibration import Calibration
from overt_match.domain import Deployment, State
from overt_match.in_force import ListsInForce
from overt_match.ports import Snapshot

_WITH_THRESHOLD = frozenset({State.ACTIVE, State.SUSPENDED})
"""Of the calibration; made at the start. Until then a deployment has a target."""


class ForecastList:
    """The use case. It changes nothing."""

    def __init__(self, *, snapshot: Snapshot, lists: ListsInForce) -> None:
        self._snapshot = snapshot
        self._lists = lists

    async def __call__(
        self,
        deployment: str,
        *,
        footfall: int,
        list_size: int = 0,
        target_fpir: float | None = None,
        score: float | None = None,
    ) -> tuple[Forecast, Calibration]:
        """`footfall`: people who are not listed. `list_size`: references, 0 for those of the list as it is. The
        threshold is `score`, or that of `target_fpir`; without either the deployment's own.

        Rejected: uncalibrated, list_empty, wrong_state, bad_field. Retryable while the list cannot be loaded.
        """
        if not 1 <= footfall <= MAX_FOOTFALL:
            raise Rejected(Reason.BAD_FIELD, f"footfall is 1 to {MAX_FOOTFALL}")
        known = await self._snapshot.deployment(deployment)
        if not known.state.keeps_a_list:
            raise Rejected(Reason.WRONG_STATE, "the deployment has ended: its list is gone")
        found = await self._snapshot.head(deployment)
        if found is None or found[1].calibration is None:
            raise Rejected(Reason.UNCALIBRATED, "no calibration is in force: nothing can be foretold without one")
        loaded = await self._lists.at(deployment, found[1].revision)
        calibration, cohort = loaded.head.calibration, loaded.cohort
        if calibration is None or cohort is None:
            raise Rejected(Reason.UNCALIBRATED, "no calibration is in force any more")
        size = list_size or loaded.references
        if not size:
            raise Rejected(Reason.LIST_EMPTY, "the list has no entry: say how long it will be")
        threshold = _threshold(cohort, known, calibration, size, target_fpir, score)
        told = await asyncio.to_thread(
            forecast, cohort.score_to_rate, cohort.misses, list_size=size, footfall=footfall, threshold=threshold
        )
        return told, calibration


def _threshold(
    cohort: Cohort, known: Deployment, calibration: Calibration, size: int, target: float | None, score: float | None
) -> float:
    if target is not None and score is not None:
        raise Rejected(Reason.BAD_FIELD, "give target_fpir or score, not both")
    started = known.state in _WITH_THRESHOLD and known.calibration_digest == calibration.digest
    if score is None and target is None and started:
        score = known.threshold
    if score is not None:
        if not math.isfinite(score):
            raise Rejected(Reason.BAD_FIELD, "score is a number")
        return score
    target = known.target_fpir or None if target is None else target
    if target is None:
        raise Rejected(Reason.BAD_FIELD, "the deployment has no threshold yet: give target_fpir or score")
    if not 0 < target < 1:
        raise Rejected(Reason.BAD_FIELD, "target_fpir is between 0 and 1")
    return threshold_for(cohort.score_to_rate, target_fpir=target, list_size=size).score
