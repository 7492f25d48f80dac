"""The calibration of a deployment, and the forecast that it allows."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from overt.errors import Rejected, Retryable
from overt.limits import MAX_COHORT_BYTES, MAX_FOOTFALL
from overt.reasons import Reason

from overt_gateway.calibrating import Calibrating
from overt_gateway.control import Control
from overt_gateway.routes.v1.preconditions import Expected, tag
from overt_gateway.schemas.v1.calibration import CalibrationOut, ForecastOut
from overt_gateway.schemas.v1.problems import errors
from overt_gateway.upload import read_file

_TAGS: list[str | Enum] = ["calibration"]
_TYPE = "application/octet-stream"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            _TYPE: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": f"a file of `overt calibrate`, at most {MAX_COHORT_BYTES >> 20} MB",
                }
            }
        },
    }
}
_LONGEST_LIST = 10_000_000


def register(app: FastAPI, *, control: Control, calibrating: Calibrating) -> None:
    """Adds the routes."""

    @app.get("/v1/deployments/{deployment}/calibration", tags=_TAGS, responses=errors(401, 403, 404, 409))
    async def get_calibration(deployment: str) -> CalibrationOut:
        """What is in force, without biometrics; `in_force` is null while everything is uncalibrated."""
        known = (await control.get(deployment)).deployment
        return CalibrationOut.of(known, await calibrating.in_force(deployment))

    @app.put(
        "/v1/deployments/{deployment}/calibration",
        tags=_TAGS,
        responses=errors(401, 403, 404, 408, 409, 412),
        openapi_extra=_BODY,
    )
    async def put_calibration(
        deployment: str, request: Request, expected: Expected, response: Response
    ) -> CalibrationOut:
        """Puts a cohort file in force for a draft, or another one instead, before anybody is on its list.

        Refused, and nothing changes: `list_not_empty`, because entries are measured against the calibration when they
        are imported; `model_mismatch`, if another model made its templates; `bad_cohort`; `wrong_state`.
        """
        await calibrating.check(deployment, expected=expected)
        if calibrating.place.locked():
            raise Retryable("another calibration is under way: try again when it is done")
        async with calibrating.place:
            cohort = await read_file(request, _TYPE)
            await calibrating.check(deployment, expected=expected)
            stored, calibration = await calibrating.put(deployment, cohort)
        tag(response, stored)
        return CalibrationOut.of(stored.deployment, calibration)

    @app.delete("/v1/deployments/{deployment}/calibration", tags=_TAGS, responses=errors(401, 403, 404, 409, 412))
    async def delete_calibration(deployment: str, expected: Expected, response: Response) -> CalibrationOut:
        """Takes it away again and erases it, while nobody is on the list. May be repeated."""
        stored = await calibrating.take_away(deployment, expected=expected)
        tag(response, stored)
        return CalibrationOut.of(stored.deployment, None)

    @app.get("/v1/deployments/{deployment}/forecast", tags=_TAGS, responses=errors(401, 403, 404, 409))
    async def get_forecast(
        deployment: str,
        footfall: Annotated[int, Query(ge=1, le=MAX_FOOTFALL, description="people who pass and are not listed")],
        list_size: Annotated[
            int | None,
            Query(ge=1, le=_LONGEST_LIST, description="reference pictures; default: those of the list as it is"),
        ] = None,
        target_fpir: Annotated[
            float | None, Query(gt=0, lt=1, allow_inf_nan=False, description="the threshold is made of it")
        ] = None,
        score: Annotated[
            float | None, Query(allow_inf_nan=False, description="the threshold itself, a normalised score")
        ] = None,
    ) -> ForecastOut:
        """How many false alerts and misses to expect, with 95 % intervals; `uncalibrated` (409) without a calibration.

        Without `target_fpir` and `score`: with the threshold that the deployment runs with, or that a draft aims at.
        """
        known = (await control.get(deployment)).deployment
        if target_fpir is not None and score is not None:
            raise Rejected(Reason.BAD_FIELD, "give target_fpir or score, not both")
        return ForecastOut.of(
            known,
            await calibrating.forecast(
                known, footfall=footfall, list_size=list_size, target_fpir=target_fpir, score=score
            ),
        )
