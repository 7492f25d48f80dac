"""What became of every frame and every track."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from overt_gateway.control import Control
from overt_gateway.ports import Ledgers
from overt_gateway.schemas.v1.ledger import LEDGER_EXAMPLE
from overt_gateway.schemas.v1.problems import errors


def register(app: FastAPI, *, control: Control, ledgers: Ledgers) -> None:
    """Adds the route."""

    example: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": LEDGER_EXAMPLE}}}}

    @app.get("/v1/deployments/{deployment}/ledger", tags=["ledger"], responses={**errors(401, 403, 404), **example})
    async def get_ledger(deployment: str) -> dict[str, Any]:
        """The receipts of all cameras, merged, and `cameras`: the same for each one.

        `conserved` says whether frames_in is what was destroyed, retained and is in flight; `tracks.conserved`
        the same of tracks. Receipts come once a minute, and a last one when a camera has closed: `final`.
        Everything is told as of the receipt at `as_of`; of several open cameras, the one whose receipt is oldest.
        """
        known = (await control.get(deployment)).deployment
        return {
            "deployment": deployment,
            "authority": known.authority,
            "uncalibrated": known.uncalibrated,
            **await ledgers.read(deployment),
        }
