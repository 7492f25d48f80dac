"""Putting a calibration in force for a draft, taking it away, and what it lets expect. Keeps nothing of the file."""

from __future__ import annotations

import asyncio

from overt_gateway.control import Control
from overt_gateway.domain import Deployment, State
from overt_gateway.ports import Calibration, Enroller, Forecast, Versioned, Watchlists


class Calibrating:
    """match judges the file and holds it; the record of the deployment says which one is in force.

    `place` is held from before a file is read: one at a time in a gateway, 16 MB each.
    """

    def __init__(self, *, control: Control, enroller: Enroller, watchlists: Watchlists) -> None:
        self._control = control
        self._enroller = enroller
        self._watchlists = watchlists
        self.place = asyncio.Lock()

    async def check(self, deployment: str, *, expected: int | None) -> None:
        """Rejected unless one may be put in force, as far as the record tells: before its file is read."""
        await self._control.check_calibratable(deployment, expected=expected)

    async def put(self, deployment: str, cohort: bytes) -> tuple[Versioned, Calibration | None]:
        """Rejected: bad_cohort, model_mismatch, list_not_empty, wrong_state. After a Retryable it can be repeated."""
        digest = await self._enroller.model_digest()
        calibration = await self._watchlists.calibrate(deployment, cohort, digest)
        return await self._noted(deployment, calibration), calibration

    async def take_away(self, deployment: str, *, expected: int | None) -> Versioned:
        """Rejected: list_not_empty, wrong_state. Nothing changes if none is in force."""
        await self._control.check_calibratable(deployment, away=True, expected=expected)
        return await self._noted(deployment, await self._watchlists.calibrate(deployment, b"", ""))

    async def in_force(self, deployment: str) -> Calibration | None:
        """Rejected(WRONG_STATE) once the list is gone."""
        return (await self._watchlists.read(deployment)).calibration

    async def forecast(
        self,
        deployment: Deployment,
        *,
        footfall: int,
        list_size: int | None,
        target_fpir: float | None,
        score: float | None,
    ) -> Forecast:
        """Without target and score: of the threshold that it was started with, or of what a draft aims at."""
        if target_fpir is None and score is None and deployment.state is State.DRAFT:
            target_fpir = deployment.target_fpir or None
        return await self._watchlists.forecast(
            deployment.deployment_id,
            footfall=footfall,
            list_size=list_size or 0,
            target_fpir=target_fpir,
            score=score,
        )

    async def _noted(self, deployment: str, calibration: Calibration | None) -> Versioned:
        return await self._control.note_calibration(deployment, calibration.digest if calibration else "")
