"""Logging in, and who one is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from overt_gateway.auth import MAX_CODE_LENGTH


class LoginIn(BaseModel):
    """A one-time code. It works once, and only from a body: never put one in a URL's query."""

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra={"examples": [{"code": "M8nJ2..."}]}
    )

    code: SecretStr = Field(min_length=1, max_length=MAX_CODE_LENGTH)


class LoginOut(BaseModel):
    """Send the token as `Authorization: Bearer TOKEN`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "eyJhbGciOiJFZERTQSJ9...",
                    "token_type": "Bearer",
                    "role": "operator",
                    "expires_at": "2026-05-01T15:00:00Z",
                }
            ]
        }
    )

    token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    role: str
    expires_at: datetime


class MeOut(BaseModel):
    """What the token says."""

    subject: str
    role: str
    deployment: str | None = Field(description="set if the token is for one deployment only")
    expires_at: datetime
