"""Unix sockets that only we can reach, and why a bind failed."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from overt.address import Address
from overt.errors import Fatal


def claim(path: Path, *, setting: str = "OVERT_LISTEN") -> None:
    """Makes the directory (0700) and takes away a socket that nobody listens on. Fatal when somebody does, when
    it is no socket, or when others could put another in its place: it names `setting`, which gave the path."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.parent.stat().st_mode) & 0o022:
            raise Fatal(
                f"{setting}: others can write to {path.parent}, so they could replace unix:{path}: "
                "use a directory of mode 0700 (one that does not exist yet is made so)"
            )
        if not path.is_symlink() and not path.exists():
            return
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Fatal(f"{setting}: {path} is there and is not a socket: remove it, or give another path")
        if _somebody_listens(path):
            raise Fatal(f"{setting}: another process listens on unix:{path}: stop it, or give another path")
        path.unlink()
    except OSError as error:
        raise Fatal(
            f"{setting}: unix:{path} cannot be used: {os.strerror(error.errno or 0)}. Give a path in a directory "
            f"that user {os.geteuid()} can write to"
        ) from None


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Files made meanwhile are the owner's alone. Of the whole process, so nothing may be awaited inside."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def why_not(address: Address) -> str:
    """Why a bind to `address` has failed: gRPC tells only that it has."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
            probe.listen()
    except OSError as error:  # a name that does not resolve is one as well
        return error.strerror or type(error).__name__
    return "it was taken a moment ago"


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # full, or not for us: not ours to remove
        return True
