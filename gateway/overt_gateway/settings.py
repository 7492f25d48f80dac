"""The gateway's settings."""

from __future__ import annotations

from datetime import timedelta

from overt.settings import ServiceSettings
from pydantic import Field, FilePath, field_validator


class Settings(ServiceSettings):
    """Peers' addresses, and how people log in. See the README for each variable."""

    alerts_address: str = Field(description='the address of alerts: "unix:/path" or "host:port"')
    match_address: str = Field(description='the address of match: "unix:/path" or "host:port"')
    detect_address: str = Field(description='the address of detect: "unix:/path" or "host:port"')
    login_code_file: FilePath | None = Field(
        None, description="a file with one-time login codes (JSON lines: sha256, role, expires)"
    )
    issuer_private_key_file: FilePath | None = Field(
        None, description="a PEM file with the local token issuer's private key (Ed25519)"
    )
    login_minutes: int = Field(
        300, ge=5, le=720, description="how long a login lasts, 5 to 720 minutes; the default is a deployment's"
    )

    @property
    def login_lifetime(self) -> timedelta:
        return timedelta(minutes=self.login_minutes)

    @field_validator("listen")
    @classmethod
    def _speaks_http(cls, value: str) -> str:
        if value.startswith("unix:"):
            raise ValueError('"host:port": the gateway speaks HTTP to browsers')
        return value
