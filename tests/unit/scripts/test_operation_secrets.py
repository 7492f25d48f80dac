"""The secrets of an operation: what a renewal leaves alone, and certificates that the strictest reader takes."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.unit

Script = Callable[[str], ModuleType]


def _data(manifests: Iterable[dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    """Of the Secrets, by name and key."""
    secrets = (m for m in manifests if m["kind"] == "Secret")
    return {m["metadata"]["name"]: {k: base64.b64decode(v) for k, v in m["data"].items()} for m in secrets}


def test_a_renewal_makes_everything_anew_but_the_key_of_the_store(script: Script) -> None:
    made = script("operation_secrets")
    first, renewed = _data(made.manifests("here", 30)), _data(made.manifests("here", 30, renew=True))
    assert set(first.pop("overt-nats-store")) == {"OVERT_NATS_STORE_KEY"}
    assert set(first) == set(renewed)
    for name in first:
        assert set(first[name]) == set(renewed[name]), name
        assert not set(first[name].values()) & set(renewed[name].values()), name
    held = {key for secret in renewed.values() for key in secret}
    assert "OVERT_NATS_STORE_KEY" not in held


def test_the_key_of_the_store_cannot_be_replaced_by_mistake(script: Script) -> None:
    """The API server refuses other data for an immutable Secret."""
    manifests = {m["metadata"]["name"]: m for m in script("operation_secrets").manifests("here", 30)}
    assert [name for name, manifest in manifests.items() if manifest.get("immutable")] == ["overt-nats-store"]


def test_both_sides_of_a_strict_handshake_are_content(script: Script, tmp_path: Path) -> None:
    secrets = _data(script("operation_secrets").manifests("here", 30))
    ends: dict[str, ssl.SSLContext] = {}
    for service, purpose in (("nats", ssl.PROTOCOL_TLS_SERVER), ("alerts", ssl.PROTOCOL_TLS_CLIENT)):
        for name, content in secrets[f"overt-tls-{service}"].items():
            (tmp_path / f"{service}-{name}").write_bytes(content)
        context = ends[service] = ssl.SSLContext(purpose)
        context.load_cert_chain(tmp_path / f"{service}-tls.crt", tmp_path / f"{service}-tls.key")
        context.load_verify_locations(tmp_path / f"{service}-ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ends["alerts"].wrap_bio(to_client, to_server, server_hostname="nats.here.svc")
    server = ends["nats"].wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    assert server.getpeercert() is not None
