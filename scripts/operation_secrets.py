"""Prints the Secrets that deploy/k8s/base expects: certificates, NATS passwords, the token issuer, service tokens.

    .venv/bin/python scripts/operation_secrets.py --namespace NAME [--name gateway=HOST] | kubectl apply -f -

Everything is made anew at each call and kept nowhere else: the certificate authority's key is thrown away, so the
certificates cannot be extended, only replaced. Do that in time with --renew, which prints everything but the key of
the NATS server's store, and restart the workloads: with another key nats-server drops every stream it has. That key's
Secret is immutable, so that a call without --renew cannot replace it by mistake.
"""

from __future__ import annotations

import argparse
import base64
import ipaddress
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from overt.auth import TokenIssuer, generate_issuer_key
from overt.bus import password_variable, server_config, server_password
from overt.permissions import Role
from overt.subjects import Service

STORE_KEY = "OVERT_NATS_STORE_KEY"
STORE_SECRET = "overt-nats-store"
TOKENS = {
    Service.INGEST: Role.SERVICE_INGEST,
    Service.MATCH: Role.SERVICE_MATCH,
    Service.GATEWAY: Role.SERVICE_GATEWAY,
}


CERTIFICATES = (*map(str, Service), "nats")
# A label of ASCII letters, digits and hyphens; the first one may be a wildcard.
_HOST = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


class Authority:
    """A certificate authority that lives as long as this process."""

    def __init__(self, namespace: str, days: int) -> None:
        self._namespace = namespace
        self._now = datetime.now(UTC)
        self._until = self._now + timedelta(days=days)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"overt {namespace}")])
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, service: str, further: Sequence[x509.GeneralName] = ()) -> Mapping[str, bytes]:
        """tls.crt, tls.key and ca.crt for a service, good as server and as client; `further` names are added."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [service, f"{service}.{self._namespace}", f"{service}.{self._namespace}.svc", "localhost"]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, names), *further]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        return {
            "tls.crt": certificate.public_bytes(pem),
            "tls.key": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            "ca.crt": self._certificate.public_bytes(pem),
        }

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(minutes=5))
            .not_valid_after(self._until)
            # Who verifies strictly (Python from 3.13 on, RFC 5280) wants both.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def further_name(text: str) -> tuple[str, x509.GeneralName]:
    """Of SERVICE=HOST the service and the name, or IP address, that its certificate is to have. ArgumentTypeError."""
    service, _, host = text.partition("=")
    if service not in CERTIFICATES:
        raise argparse.ArgumentTypeError(f"{text}: say SERVICE=HOST, SERVICE being one of {', '.join(CERTIFICATES)}")
    try:
        return service, x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.fullmatch(host) or len(host) > 253:
            raise argparse.ArgumentTypeError(
                f"{text}: {host!r} is no host name or IP address; give it without scheme and port, international "
                "ones as xn--..."
            ) from None
        return service, x509.DNSName(host)


def manifests(
    namespace: str, days: int, names: Sequence[tuple[str, x509.GeneralName]] = (), *, renew: bool = False
) -> Iterator[dict[str, object]]:
    """The Secrets, and the ConfigMap with the NATS server's configuration (which holds no secret). `renew`: without
    the one that must never change."""
    authority = Authority(namespace, days)
    for name in CERTIFICATES:
        pair = authority.issue(name, [further for service, further in names if service == name])
        yield _secret(namespace, f"overt-tls-{name}", pair, kind="kubernetes.io/tls")
    passwords = {service: server_password() for service in Service}
    for service, password in passwords.items():
        yield _secret(namespace, f"overt-nats-{service}", {"password": password.encode()})
    server = {password_variable(service): password.encode() for service, password in passwords.items()}
    yield _secret(namespace, "overt-nats-server", server)
    if not renew:
        yield _secret(namespace, STORE_SECRET, {STORE_KEY: server_password().encode()}) | {"immutable": True}
    private, public = generate_issuer_key()
    yield _secret(namespace, "overt-issuer", {"issuer.pem": private, "issuer.pub": public})
    issuer = TokenIssuer(private)
    for service, role in TOKENS.items():
        token = issuer.issue(role, subject=str(service), lifetime=timedelta(days=days))
        yield _secret(namespace, f"overt-token-{service}", {"token": token.encode()})
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "nats-server", "namespace": namespace},
        "data": {"nats-server.conf": nats_config()},
    }


def nats_config() -> str:
    """Where base/nats.yaml mounts things."""
    return server_config(
        host="0.0.0.0",
        port=4222,
        store_dir="/var/lib/nats",
        store_key_variable=STORE_KEY,
        tls_certificate_file="/etc/overt/tls/tls.crt",
        tls_key_file="/etc/overt/tls/tls.key",
        tls_ca_file="/etc/overt/tls/ca.crt",
    )


def _secret(namespace: str, name: str, data: Mapping[str, bytes], kind: str = "Opaque") -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespace", required=True, help="of the operation")
    parser.add_argument("--days", type=int, default=30, help="until certificates and service tokens end (30)")
    parser.add_argument(
        "--name",
        action="append",
        type=further_name,
        default=[],
        metavar="SERVICE=HOST",
        help="a further name or IP address for a service's certificate, gateway=lfr.example.org; may be repeated",
    )
    parser.add_argument(
        "--renew", action="store_true", help=f"leave {STORE_SECRET} out: for an operation that has it already"
    )
    arguments = parser.parse_args()
    made = manifests(arguments.namespace, arguments.days, arguments.name, renew=arguments.renew)
    yaml.safe_dump_all(made, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
