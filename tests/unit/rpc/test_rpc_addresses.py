"""What an address is, and who can reach it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt.address import is_loopback
from overt.rpc import Address

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("unix:/run/overt/detect.sock", True),
        ("127.0.0.1:0", True),
        ("127.9.9.9:80", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("10.1.2.3:65535", False),
        ("[fe80::1]:1", False),
        ("detect:50051", False),
        ("localhost.example:1", False),
        ("detect.operation.svc.cluster.local:50051", False),
    ],
)
def test_addresses(text: str, loopback: bool) -> None:
    address = Address.parse(text)
    assert str(address) == text
    assert address.is_loopback is loopback
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "host", "host:", ":80", "host:http", "host:65536", "host:-1", "host: 80", "host:８０", "a:b:80"),
        *("::1:80", "[::1]", "[::1]80", "[host]:80", "[127.0.0.1]:80", "[::1:80"),
        *("unix:", "unix:relative", "unix://host/path", "unix:/" + "x" * 107, "http://host:80"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address


def test_ports() -> None:
    assert str(Address.parse("[::1]:0").with_port(7)) == "[::1]:7"
    assert str(Address.parse("127.0.0.1:0").with_port(7)) == "127.0.0.1:7"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "Localhost"])
def test_localhost_is_one_name_in_any_case(host: str) -> None:
    """A service's settings and its server once disagreed on it."""
    assert is_loopback(host)
    assert Address.parse(f"{host}:80") == Address(host="localhost", port=80)
