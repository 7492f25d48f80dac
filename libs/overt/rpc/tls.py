"""TLS for what leaves the host. With a CA file both sides must show a certificate of that CA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import grpc

from overt.errors import Fatal


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. A server needs `certificate` and `key`; with `ca` it asks clients for theirs (mTLS).
    A client needs `ca` unless the system's roots will do, and its own pair where the server asks for it."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @classmethod
    def of(cls, *, certificate: Path | None, key: Path | None, ca: Path | None) -> TlsFiles | None:
        """From the three settings; None when none is given. Fatal for half a pair."""
        if (certificate is None) != (key is None):
            raise Fatal("give both or neither of OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE")
        return cls(certificate, key, ca) if certificate or ca else None

    def for_server(self) -> grpc.ServerCredentials:
        """Fatal if a file cannot be read, or there is no pair."""
        if self.certificate is None or self.key is None:
            raise Fatal("a server's TLS needs OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE")
        return grpc.ssl_server_credentials(
            [(_read("OVERT_TLS_KEY_FILE", self.key), _read("OVERT_TLS_CERTIFICATE_FILE", self.certificate))],
            root_certificates=_read("OVERT_TLS_CA_FILE", self.ca) if self.ca else None,
            require_client_auth=self.ca is not None,
        )

    def for_client(self) -> grpc.ChannelCredentials:
        """Fatal if a file cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read("OVERT_TLS_CA_FILE", self.ca) if self.ca else None,
            private_key=_read("OVERT_TLS_KEY_FILE", self.key) if self.key else None,
            certificate_chain=_read("OVERT_TLS_CERTIFICATE_FILE", self.certificate) if self.certificate else None,
        )


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Fatal(f"{setting}: {path} cannot be read: {os.strerror(error.errno or 0)}") from None
