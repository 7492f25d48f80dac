"""Cameras of a deployment: what they are, whether they see, and their tokens."""

from __future__ import annotations

from enum import Enum

from fastapi import FastAPI, Response
from overt.errors import Rejected
from overt.reasons import Reason

from overt_gateway.auth import Tokens
from overt_gateway.control import Control
from overt_gateway.ports import Cameras
from overt_gateway.routes.v1.preconditions import Expected, tag
from overt_gateway.schemas.v1.cameras import (
    CameraIn,
    CameraOut,
    CamerasOut,
    CameraStateOut,
    CameraTokenOut,
)
from overt_gateway.schemas.v1.problems import errors

_TAGS: list[str | Enum] = ["cameras"]


def register(app: FastAPI, *, control: Control, cameras: Cameras, tokens: Tokens) -> None:
    """Adds the routes."""

    @app.get("/v1/deployments/{deployment}/cameras", tags=_TAGS, responses=errors(401, 403, 404))
    async def list_cameras(deployment: str) -> CamerasOut:
        """Every camera with what ingest last said of it, at most two and a half seconds ago."""
        known = (await control.get(deployment)).deployment
        return CamerasOut(
            deployment=deployment,
            authority=known.authority,
            uncalibrated=known.uncalibrated,
            cameras=[
                CameraStateOut.seen(camera, cameras.state_of(known, camera.camera_id)) for camera in known.cameras
            ],
        )

    @app.post(
        "/v1/deployments/{deployment}/cameras",
        status_code=201,
        tags=_TAGS,
        responses=errors(401, 403, 404, 409, 412),
    )
    async def add_camera(deployment: str, asked: CameraIn, expected: Expected, response: Response) -> CameraOut:
        """To a draft only."""
        camera = asked.to_domain()
        tag(response, await control.add_camera(deployment, camera, expected=expected))
        return CameraOut.of(camera)

    @app.post(
        "/v1/deployments/{deployment}/cameras/{camera}/token",
        status_code=201,
        tags=_TAGS,
        responses=errors(401, 403, 404, 409, 501),
    )
    async def issue_camera_token(deployment: str, camera: str) -> CameraTokenOut:
        """For a camera that pushes: it travels in gRPC metadata, and is good until the window closes."""
        known = (await control.get(deployment)).deployment
        known.camera(camera)
        if known.state.is_over:
            raise Rejected(Reason.WRONG_STATE, f"this deployment is {known.state.value}")
        issued = tokens.for_camera(deployment, camera, until=known.ends_at)
        return CameraTokenOut(token=issued.token, deployment=deployment, camera=camera, expires_at=issued.expires_at)
