"""The settings of alerts."""

from __future__ import annotations

from pathlib import Path

from overt.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """OVERT_* variables; see README.md for what each one changes."""

    data_dir: Path = Field(
        description="a directory of this service's own, writable, kept over restarts and in no backup: "
        "it holds every key"
    )
    cooldown_seconds: float = Field(
        60.0, ge=0, le=3600, description="seconds within which an entry seen again joins its open alert, 0 to 3600"
    )
    linger_seconds: float = Field(
        600.0,
        ge=60,
        le=86400,
        description="seconds after its end in which a deployment's late evidence can still be opened, 60 to 86400; "
        "ingest holds evidence for up to 60",
    )
