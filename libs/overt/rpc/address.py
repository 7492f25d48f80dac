"""Where an RPC server listens: a Unix socket or a TCP address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

_FORMS = '"unix:/path", "host:port" or "[v6-address]:port"'

MAX_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 bytes with its final zero."""


@dataclass(frozen=True, slots=True)
class Address:
    """One or the other: `path` of a socket, or `host` and `port`. `str` gives back what `parse` takes."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """ValueError, with what would be right, for anything else. Looks nothing up."""
        if text.startswith("unix:"):
            return cls(path=_socket_path(text.removeprefix("unix:")))
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = str(ipaddress.IPv6Address(host[1:-1]))
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, as [::1]:{port}")
        if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"{text!r} is not an address: give {_FORMS}")
        return cls(host=host, port=int(port))

    @property
    def is_loopback(self) -> bool:
        """Reachable from this host only. Names other than `localhost` are not looked up: they are not."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def with_port(self, port: int) -> Address:
        return Address(path=self.path, host=self.host, port=port)

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _socket_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or text.startswith("//"):
        raise ValueError(f"unix:{text}: give an absolute path, as unix:/run/overt/detect.sock")
    if len(bytes(path)) > MAX_SOCKET_PATH_BYTES:
        raise ValueError(f"unix:{text}: a socket's path has at most {MAX_SOCKET_PATH_BYTES} bytes")
    return path
