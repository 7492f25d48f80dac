"""TLS for what leaves the host. With a CA file both sides must show a certificate of that CA."""

from __future__ import annotations

import os
import ssl
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
        """Fatal if a file cannot be read or used, or there is no pair."""
        if self.certificate is None or self.key is None:
            raise Fatal("a server's TLS needs OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE")
        certificate, key, ca = self._contents()
        return grpc.ssl_server_credentials(
            [(key or b"", certificate or b"")], root_certificates=ca, require_client_auth=ca is not None
        )

    def for_client(self) -> grpc.ChannelCredentials:
        """Fatal if a file cannot be read or used."""
        certificate, key, ca = self._contents()
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)

    def _contents(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        contents = (
            _read("OVERT_TLS_CERTIFICATE_FILE", self.certificate),
            _read("OVERT_TLS_KEY_FILE", self.key),
            _read("OVERT_TLS_CA_FILE", self.ca),
        )
        # gRPC takes anything, and says on its own stderr, in its own words, when it cannot use it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.certificate and self.key:
            try:
                # A key with a password is refused; without this argument it would be asked for on the terminal.
                context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
            except (OSError, ValueError):
                raise Fatal(
                    f"OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE: {self.certificate} and {self.key} are not a "
                    "certificate in PEM form and its key without a password"
                ) from None
        if self.ca:
            try:
                context.load_verify_locations(self.ca)
            except (OSError, ValueError):
                raise Fatal(f"OVERT_TLS_CA_FILE: {self.ca} holds no certificate in PEM form") from None
        return contents


def _read(setting: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise Fatal(f"{setting}: {path} cannot be read: {os.strerror(error.errno or 0)}") from None
