"""The same configuration with TLS: encrypted, verified both ways, refused without."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from overt.bus import BusAddress, connect
from overt.errors import Fatal, Retryable
from overt.subjects import Service
from support.nats import NatsServer

pytestmark = pytest.mark.integration


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.file = self._written("ca.crt", certificate.sign(self._key, hashes.SHA256()))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1, as a server and as a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
        )
        key_file = self._folder / f"{name}.key"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return self._written(f"{name}.crt", builder.sign(self._key, hashes.SHA256())), key_file

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )

    def _written(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(params=["server only", "both ways"])
def tls_server(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> Iterator[NatsServer]:
    certificate, key = authority.issue("server")
    server = NatsServer(
        tmp_path / "nats",
        tls_certificate_file=certificate,
        tls_key_file=key,
        tls_ca_file=authority.file if request.param == "both ways" else None,
    )
    server.start()
    yield server
    server.stop()


def _address(server: NatsServer, authority: Authority, **changes: Path | None) -> BusAddress:
    plain = server.address(Service.ALERTS)
    certificate, key = authority.issue("alerts")
    address = dataclasses.replace(
        plain,
        url=plain.url.replace("nats://", "tls://"),
        tls_ca_file=authority.file,
        tls_certificate_file=certificate,
        tls_key_file=key,
    )
    return dataclasses.replace(address, **changes)


async def test_connects_and_works(tls_server: NatsServer, authority: Authority) -> None:
    bus = await connect(_address(tls_server, authority), name="test")
    await bus.steward.ensure_operation()
    await bus.close()


async def test_a_server_of_another_authority_is_refused(
    tls_server: NatsServer, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    with pytest.raises(Retryable, match="OVERT_TLS_CA_FILE"):
        await connect(_address(tls_server, authority, tls_ca_file=stranger.file), name="test")


async def test_a_client_without_a_certificate(tls_server: NatsServer, authority: Authority) -> None:
    address = _address(tls_server, authority, tls_certificate_file=None, tls_key_file=None)
    if "verify: true" in (tls_server.directory / "nats-server.conf").read_text():
        with pytest.raises(Retryable):
            await connect(address, name="test")
    else:
        bus = await connect(address, name="test")
        await bus.close()


async def test_files_that_cannot_be_used_are_fatal(
    tls_server: NatsServer, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(Fatal, match="OVERT_TLS_CA_FILE"):
        await connect(_address(tls_server, authority, tls_ca_file=tmp_path / "missing"), name="test")
    (tmp_path / "bad").write_text("not a key")
    with pytest.raises(Fatal, match="OVERT_TLS_KEY_FILE"):
        await connect(_address(tls_server, authority, tls_key_file=tmp_path / "bad"), name="test")
