"""What ingest is told from outside, beside what every service is."""

from __future__ import annotations

from overt.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """OVERT_*; see ServiceSettings."""

    detect_address: str = Field(description='"unix:/path" or "host:port" of detect')
