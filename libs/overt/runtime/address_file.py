"""The file that tells where a service listens. It exists exactly while the service accepts work."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from overt.errors import Fatal


def write(path: Path, address: str) -> None:
    """Whole or not at all, mode 0600, without a line end. Fatal when the directory cannot be written."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(address)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Fatal(
            f"OVERT_ADDRESS_FILE: cannot write {path} ({error.strerror}); name a path in a writable directory"
        ) from error


def remove(path: Path) -> None:
    """Takes it away, if it can be: a reader must not take an earlier life's address for this one's."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
