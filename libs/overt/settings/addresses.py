"""What an address in a setting may look like. The words of each error say what is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from overt.address import checked_socket_path, is_loopback

SocketPath = Annotated[Path, AfterValidator(checked_socket_path)]
"""The type of a setting that names a Unix socket."""


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
