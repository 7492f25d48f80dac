"""What match is told by its environment, besides what every service is."""

from __future__ import annotations

from pathlib import Path

from overt.settings import ServiceSettings
from pydantic import Field, field_validator


class Settings(ServiceSettings):
    """OVERT_ALERTS_ADDRESS, OVERT_INDEX_DIR."""

    alerts_address: str = Field(description='the address of alerts, "unix:/path" or "host:port"')
    index_dir: Path | None = Field(
        None, description="an absolute path on memory-backed storage (tmpfs, ramfs); without it, /dev/shm"
    )

    @field_validator("index_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("an absolute path")
        return value
