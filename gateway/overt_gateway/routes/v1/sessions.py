"""Logging in, who one is, and the API's own description."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request

from overt_gateway.auth import Tokens, claims_of
from overt_gateway.schemas.v1.login import LoginIn, LoginOut, MeOut
from overt_gateway.schemas.v1.problems import errors


def register(app: FastAPI, *, tokens: Tokens) -> None:
    """Adds the routes."""

    @app.post("/v1/login", tags=["session"], responses=errors(401, 501))
    async def login(asked: LoginIn) -> LoginOut:
        """Exchange a one-time code for a token. Without a local issuer the answer says where tokens come from."""
        issued = await tokens.login(asked.code.get_secret_value())
        return LoginOut(token=issued.token, role=issued.role.value, expires_at=issued.expires_at)

    @app.get("/v1/me", tags=["session"], responses=errors(401, 403))
    async def me(request: Request) -> MeOut:
        """What this token says."""
        claims = claims_of(request)
        return MeOut(
            subject=claims.subject,
            role=claims.role.value,
            deployment=claims.deployment,
            expires_at=claims.expires_at,
        )

    @app.get("/v1/openapi.json", tags=["session"], responses=errors(401, 403))
    async def openapi() -> dict[str, Any]:
        """This description."""
        return app.openapi()
