"""What nats-server.conf says, without running it."""

from __future__ import annotations

import re

import pytest
from overt.bus import password_variable, server_config, server_password
from overt.bus.access import access_of
from overt.bus.steward import deployment_streams
from overt.errors import Fatal
from overt.subjects import MAX_MESSAGE_BYTES, Service

pytestmark = pytest.mark.unit


def test_loopback_and_a_free_port_are_the_default() -> None:
    text = server_config(store_dir="/data")
    assert 'host: "127.0.0.1"' in text
    assert "port: -1" in text
    assert "sync_interval: always" in text
    assert "cipher" not in text
    assert "tls" not in text


def test_passwords_and_keys_are_named_and_not_written() -> None:
    text = server_config(store_dir="/data", store_key_variable="OVERT_NATS_STORE_KEY")
    for service in Service:
        assert f"password: ${password_variable(service)}\n" in text
    assert "key: $OVERT_NATS_STORE_KEY\n" in text
    assert "cipher: chacha" in text
    assert password_variable(Service.INGEST) == "OVERT_NATS_PASSWORD_INGEST"


def test_a_password_is_one_word_to_nats_server() -> None:
    made = {server_password() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"[a-z][a-z0-9]{40,}", p) for p in made)


def test_a_message_of_the_largest_size_fits_with_its_headers() -> None:
    (limit,) = re.findall(r"max_payload: (\d+)", server_config(store_dir="/data"))
    assert int(limit) >= MAX_MESSAGE_BYTES + 2048


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "nats"])
def test_another_address_needs_tls(host: str) -> None:
    with pytest.raises(Fatal, match="TLS"):
        server_config(store_dir="/data", host=host)
    text = server_config(store_dir="/d", host=host, tls_certificate_file="/c", tls_key_file="/k", tls_ca_file="/ca")
    assert 'cert_file: "/c"' in text
    assert "verify: true" in text


def test_half_of_tls_is_refused() -> None:
    with pytest.raises(Fatal, match="both"):
        server_config(store_dir="/data", tls_certificate_file="/c")


def test_monitoring_is_off_unless_asked_for() -> None:
    assert "http" not in server_config(store_dir="/data")
    assert 'http: "127.0.0.1:8222"' in server_config(store_dir="/data", monitor_port=8222)
    assert 'http: "[::1]:8222"' in server_config(store_dir="/data", host="::1", monitor_port=8222)


def test_there_is_room_for_many_deployments() -> None:
    (room,) = re.findall(r"max_file_store: (\d+)", server_config(store_dir="/data"))
    reserved = sum(config["max_bytes"] for config in deployment_streams("dep-1"))
    assert int(room) > 1000 * reserved


def test_only_alerts_creates_and_erases() -> None:
    for service in Service:
        offices = [s for s in access_of(service).store if ".STREAM." in s]
        assert bool(offices) == (service is Service.ALERTS)


def test_nobody_logs_in_to_the_account_of_the_streams() -> None:
    text = server_config(store_dir="/data")
    store = text[text.index("  STORE {") : text.index(f"  {next(iter(Service)).name} {{")]
    assert "jetstream: enabled" in store
    assert "users" not in store
    assert text.count("jetstream: enabled") == 1


def test_detect_has_nothing() -> None:
    access = access_of(Service.DETECT)
    assert (access.publish, access.subscribe) == ((), ())


@pytest.mark.parametrize("service", list(Service), ids=lambda s: s.value)
def test_no_permission_is_a_bare_wildcard(service: Service) -> None:
    for subject in (*access_of(service).publish, *access_of(service).subscribe):
        first = subject.split(".")[0]
        assert "*" not in first
        assert ">" not in first
        assert not subject.startswith("$SYS")
