"""Where a system on one machine keeps its files, and how secrets are written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from overt.subjects import Service


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are below the data directory; `run` goes with the process."""

    data: Path
    run: Path

    @property
    def nats(self) -> Path:
        return self.data / "nats"

    @property
    def keys(self) -> Path:
        return self.data / "alerts"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def store_key(self) -> Path:
        """Of JetStream's file encryption; it has to outlive a restart, so it stays beside the keyring."""
        return self.data / "nats-store.key"

    @property
    def issuer_key(self) -> Path:
        return self.run / "issuer.pem"

    @property
    def issuer_public(self) -> Path:
        return self.run / "issuer.pub"

    @property
    def login_codes(self) -> Path:
        return self.run / "login-codes"

    def token(self, service: Service) -> Path:
        return self.run / f"{service}.token"

    def password(self, service: Service) -> Path:
        return self.run / f"{service}.password"

    def address(self, name: str) -> Path:
        return self.run / f"{name}.address"

    @property
    def ring(self) -> Path:
        """The socket at which ingest hands out shared memory to detect."""
        return self.run / "ring.sock"

    def socket(self, service: Service) -> str:
        return f"unix:{self.run / f'{service}.sock'}"


def write_private(path: Path, content: str | bytes) -> None:
    """Atomically, readable by this user only."""
    data = content.encode() if isinstance(content, str) else content
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)


def append_private(path: Path, line: str) -> None:
    """A line at the end, in one write; a file that is made is readable by this user only."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.write(line + "\n")
