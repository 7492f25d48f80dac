"""What ingest is told from outside, beside what every service is."""

from __future__ import annotations

from overt.settings import ServiceSettings, SocketPath
from pydantic import Field, FilePath


class Settings(ServiceSettings):
    """OVERT_*; see ServiceSettings."""

    detect_address: str = Field(description='"unix:/path" or "host:port" of detect')
    ring_socket: SocketPath | None = Field(
        default=None,
        description="an absolute path, on the host of detect, at which to hand out rings of frames; unset: none",
    )
    camera_ca_file: FilePath | None = Field(
        default=None,
        description="a PEM file with the authorities that vouch for cameras pulled over rtsps or https; unset: those "
        "of OVERT_TLS_CA_FILE, or else the system's",
    )
