"""Where a server listens or is reached: a Unix socket or a TCP address. Nothing else knows what they look like."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")

MAX_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 bytes with its final zero."""

_TCP_FORMS = '"host:port" or "[ipv6]:port", with a port of 0 to 65535'
ADDRESS_FORMS = f'"unix:/absolute/path" of at most {MAX_SOCKET_PATH_BYTES} bytes, {_TCP_FORMS}'
"""What is wanted, for people."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host` (an IPv6 address with or without brackets). A name other than
    `localhost`, in whatever case, is not looked up: it might be anywhere."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def checked_socket_path(path: Path) -> Path:
    """The path of a Unix socket, as it is; ValueError with what is wanted."""
    if not path.is_absolute() or str(path).startswith("//") or len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"an absolute path of at most {MAX_SOCKET_PATH_BYTES} bytes")
    return path


def split_host_port(text: str) -> tuple[str, int]:
    """(host without brackets, port) of a TCP address; ValueError with what is wanted."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ValueError(_TCP_FORMS)
    host = found["host"]
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(_TCP_FORMS) from None
    return host, int(found["port"])


@dataclass(frozen=True, slots=True)
class Address:
    """One or the other: `path` of a socket, or `host` and `port`. `str` gives back what `parse` takes."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """ValueError, with what is wanted, for anything else. Looks nothing up."""
        try:
            if text.startswith("unix:"):
                return cls(path=checked_socket_path(Path(text.removeprefix("unix:"))))
            host, port = split_host_port(text)
        except ValueError:
            raise ValueError(f"{text!r} is not an address: give {ADDRESS_FORMS}") from None
        return cls(host=host.lower() if host.lower() == "localhost" else host, port=port)

    @property
    def is_loopback(self) -> bool:
        """Reachable from this machine only."""
        return self.path is not None or is_loopback(self.host)

    def with_port(self, port: int) -> Address:
        return Address(path=self.path, host=self.host, port=port)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
