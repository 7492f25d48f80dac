"""What an address in a setting may look like. The words of each error say what is wanted."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")

# sun_path of Linux holds 108 bytes, the closing zero included.
_UNIX_PATH_BYTES = 107


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than localhost might be anywhere."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def split_host_port(value: str) -> tuple[str, int]:
    """(host without brackets, port) of "host:port" or "[::1]:port"; ValueError with what is wanted."""
    found = _HOST_PORT.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        raise ValueError('"host:port" or "[ipv6]:port", with a port of 0 to 65535')
    return found["host"].strip("[]"), int(found["port"])


def check_listen(value: str) -> bool:
    """Checks "unix:/path" or "host:port"; returns whether only this machine can reach it."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > _UNIX_PATH_BYTES:
            raise ValueError(f'"unix:/absolute/path" of at most {_UNIX_PATH_BYTES} bytes')
        return True
    try:
        host, _ = split_host_port(value)
    except ValueError as error:
        raise ValueError(f'"unix:/path", {error}') from None
    return is_loopback(host)


def check_url(value: str, *, schemes: tuple[str, ...], encrypted: tuple[str, ...] | None = None) -> None:
    """Checks SCHEME://HOST:PORT without a user in it. With `encrypted`, others reach loopback only."""
    wanted = " or ".join(f"{scheme}://host:port" for scheme in schemes)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{wanted}, without a user and password in it: they have settings of their own")
    if parts.scheme not in schemes or not host or port is None:
        raise ValueError(wanted)
    if encrypted is not None and parts.scheme not in encrypted and not is_loopback(host):
        raise ValueError(f"{' or '.join(encrypted)} for anything but a loopback address")
