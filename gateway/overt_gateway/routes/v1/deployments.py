"""Deployments: create, look, start, end."""

from __future__ import annotations

from enum import Enum

from fastapi import FastAPI, Request, Response
from overt.errors import Rejected
from overt.reasons import Reason

from overt_gateway.auth import claims_of
from overt_gateway.control import Control
from overt_gateway.routes.v1.preconditions import Expected, tag
from overt_gateway.schemas.v1.deployments import AimIn, DeploymentIn, DeploymentOut, DeploymentsOut
from overt_gateway.schemas.v1.problems import errors

_TAGS: list[str | Enum] = ["deployments"]


def register(app: FastAPI, *, control: Control) -> None:
    """Adds the routes."""

    @app.post("/v1/deployments", status_code=201, tags=_TAGS, responses=errors(401, 403, 409))
    async def create_deployment(asked: DeploymentIn, request: Request, response: Response) -> DeploymentOut:
        """A draft, with its keys and streams made."""
        claims = claims_of(request)
        if claims.deployment is not None and claims.deployment != asked.id:
            raise Rejected(Reason.NOT_ALLOWED, "your token is for one deployment: it creates no other")
        stored = await control.create(asked.to_domain(), by=claims.subject)
        tag(response, stored)
        response.headers["Location"] = f"/v1/deployments/{stored.deployment.deployment_id}"
        return DeploymentOut.of(stored.deployment)

    @app.get("/v1/deployments", tags=_TAGS, responses=errors(401, 403))
    async def list_deployments(request: Request) -> DeploymentsOut:
        """All of the operation, newest first; with a token for one deployment, that one."""
        only = claims_of(request).deployment
        return DeploymentsOut(
            deployments=[
                DeploymentOut.of(stored.deployment)
                for stored in await control.all()
                if only in (None, stored.deployment.deployment_id)
            ]
        )

    @app.get("/v1/deployments/{deployment}", tags=_TAGS, responses=errors(401, 403, 404))
    async def get_deployment(deployment: str, response: Response) -> DeploymentOut:
        """One deployment, with its ETag."""
        stored = await control.get(deployment)
        tag(response, stored)
        return DeploymentOut.of(stored.deployment)

    @app.patch("/v1/deployments/{deployment}", tags=_TAGS, responses=errors(401, 403, 404, 409, 412))
    async def change_aim(deployment: str, asked: AimIn, expected: Expected, response: Response) -> DeploymentOut:
        """Gives a draft another target, or another raw threshold. While a calibration is in force: a target."""
        stored = await control.aim(deployment, asked.to_domain(), expected=expected)
        tag(response, stored)
        return DeploymentOut.of(stored.deployment)

    @app.post("/v1/deployments/{deployment}/start", tags=_TAGS, responses=errors(401, 403, 404, 409, 412))
    async def start_deployment(deployment: str, expected: Expected, response: Response) -> DeploymentOut:
        """Seals the list and opens the cameras. Inside the window only, with a list and a camera.

        With a calibration the target becomes a threshold here, for the list as long as it is.
        """
        stored = await control.start(deployment, expected=expected)
        tag(response, stored)
        return DeploymentOut.of(stored.deployment)

    @app.post("/v1/deployments/{deployment}/end", tags=_TAGS, responses=errors(401, 403, 404, 412))
    async def end_deployment(deployment: str, expected: Expected, response: Response) -> DeploymentOut:
        """Closes the cameras and destroys list and templates. Never refused, and may be repeated."""
        stored = await control.end(deployment, expected=expected)
        tag(response, stored)
        return DeploymentOut.of(stored.deployment)
