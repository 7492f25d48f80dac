"""Settings: all faults at once, each with its variable, what was given and what is wanted; never a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from overt.errors import Fatal
from overt.settings import ServiceSettings, load
from pydantic import Field, SecretStr, ValidationError

pytestmark = pytest.mark.unit


@pytest.fixture
def set_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Sets these OVERT_* variables and no others; the issuer's key is there unless it is told otherwise."""
    for name in list(os.environ):
        if name.startswith("OVERT_"):
            monkeypatch.delenv(name)
    key = tmp_path / "issuer.pem"
    key.write_text("public")

    def set_these(**variables: str) -> None:
        for name, value in {"OVERT_ISSUER_PUBLIC_KEY_FILE": str(key), **variables}.items():
            monkeypatch.setenv(name, value)

    return set_these


def faults(cls: type[ServiceSettings] = ServiceSettings) -> list[str]:
    with pytest.raises(Fatal) as told:
        load(cls)
    return [line.strip() for line in str(told.value).splitlines()[1:]]


def test_defaults_need_nothing_but_the_issuers_key(set_only: Any, tmp_path: Path) -> None:
    set_only()
    settings = load(ServiceSettings)
    assert settings.listen == "127.0.0.1:0"
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.issuer_public_key_file == tmp_path / "issuer.pem"
    assert settings.metrics_listen is None
    assert settings.otlp_endpoint is None
    assert settings.drain_seconds < settings.hard_exit_seconds


def test_settings_cannot_be_changed(set_only: Any) -> None:
    set_only()
    with pytest.raises(ValidationError):
        load(ServiceSettings).listen = "x"  # type: ignore[misc]


def test_unknown_variables_are_ignored_and_empty_ones_are_not_set(set_only: Any) -> None:
    set_only(OVERT_SOMETHING_ELSE="1", OVERT_METRICS_LISTEN="", OVERT_LISTEN="")
    assert load(ServiceSettings).metrics_listen is None


def test_every_fault_is_told_at_once_with_its_variable(set_only: Any, tmp_path: Path) -> None:
    set_only(
        OVERT_ISSUER_PUBLIC_KEY_FILE=str(tmp_path / "missing.pem"),
        OVERT_LISTEN="nowhere",
        OVERT_LOG_LEVEL="chatty",
        OVERT_DRAIN_SECONDS="ten",
        OVERT_TLS_CERTIFICATE_FILE=str(tmp_path / "issuer.pem"),
        OVERT_OTLP_ENDPOINT="http://collector.example:4317",
    )
    told = faults()
    assert {line.partition(":")[0] for line in told} == {
        "OVERT_ISSUER_PUBLIC_KEY_FILE",
        "OVERT_LISTEN",
        "OVERT_LOG_LEVEL",
        "OVERT_DRAIN_SECONDS",
        "OVERT_TLS_KEY_FILE",
        "OVERT_OTLP_ENDPOINT",
    }
    assert all("; wants " in line for line in told)
    assert 'OVERT_LOG_LEVEL: given "chatty"; wants debug, info, warning or error' in told


def test_the_first_line_says_how_many(set_only: Any) -> None:
    set_only(OVERT_LOG_LEVEL="chatty")
    with pytest.raises(Fatal, match=r"^1 fault in the settings:\n  OVERT_LOG_LEVEL"):
        load(ServiceSettings)


def test_a_missing_one_is_said_to_be_not_set(set_only: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_only()
    monkeypatch.delenv("OVERT_ISSUER_PUBLIC_KEY_FILE")
    assert faults() == [
        "OVERT_ISSUER_PUBLIC_KEY_FILE: not set; wants a PEM file with the token issuer's public key (Ed25519)"
    ]


def test_certificate_and_key_come_together(set_only: Any, tmp_path: Path) -> None:
    pem = str(tmp_path / "issuer.pem")
    set_only(OVERT_TLS_KEY_FILE=pem)
    assert faults()[0].startswith(f'OVERT_TLS_KEY_FILE: given "{pem}"; wants OVERT_TLS_CERTIFICATE_FILE and')
    set_only(OVERT_TLS_KEY_FILE=pem, OVERT_TLS_CERTIFICATE_FILE=pem)
    assert load(ServiceSettings).tls_key_file == Path(pem)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "localhost:80", "[::1]:443", "127.8.8.8:65535", "unix:/run/overt/detect.sock"]
)
def test_doors_that_need_no_tls(set_only: Any, listen: str) -> None:
    set_only(OVERT_LISTEN=listen)
    assert load(ServiceSettings).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:443", "[::]:443", "detect:443", "192.0.2.1:1", "localhost.evil:1"])
def test_a_door_to_the_network_needs_tls(set_only: Any, tmp_path: Path, listen: str) -> None:
    set_only(OVERT_LISTEN=listen)
    (fault,) = faults()
    assert "OVERT_TLS_CERTIFICATE_FILE" in fault
    pem = str(tmp_path / "issuer.pem")
    set_only(OVERT_LISTEN=listen, OVERT_TLS_CERTIFICATE_FILE=pem, OVERT_TLS_KEY_FILE=pem)
    assert load(ServiceSettings).listen == listen


@pytest.mark.parametrize(
    "listen", ["", "80", ":80", "host", "host:", "host:99999", "unix:relative", "unix:/" + "x" * 107, "::1:80"]
)
def test_doors_that_are_none(set_only: Any, listen: str) -> None:
    set_only(OVERT_LISTEN=listen or " ")
    (fault,) = faults()
    assert fault.startswith("OVERT_LISTEN: given")
    assert "unix:/" in fault


def test_metrics_stay_on_this_machine_unless_allowed(set_only: Any) -> None:
    set_only(OVERT_METRICS_LISTEN="0.0.0.0:9464")
    (fault,) = faults()
    assert "OVERT_METRICS_REMOTE=1" in fault
    set_only(OVERT_METRICS_LISTEN="0.0.0.0:9464", OVERT_METRICS_REMOTE="1")
    assert load(ServiceSettings).metrics_listen == "0.0.0.0:9464"
    set_only(OVERT_METRICS_LISTEN="127.0.0.1:0", OVERT_METRICS_REMOTE="0")
    assert load(ServiceSettings).metrics_listen == "127.0.0.1:0"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4317", "http://[::1]:4317", "https://collector:4317"])
def test_where_traces_may_go(set_only: Any, endpoint: str) -> None:
    set_only(OVERT_OTLP_ENDPOINT=endpoint)
    assert load(ServiceSettings).otlp_endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint", ["http://collector:4317", "127.0.0.1:4317", "https://collector", "ftp://127.0.0.1:1", "http://[x:1"]
)
def test_where_traces_may_not_go(set_only: Any, endpoint: str) -> None:
    set_only(OVERT_OTLP_ENDPOINT=endpoint)
    assert len(faults()) == 1


def test_the_bus_over_a_network_is_encrypted(set_only: Any) -> None:
    set_only(OVERT_NATS_URL="nats://nats.example:4222")
    assert "tls for anything but a loopback address" in faults()[0]
    set_only(OVERT_NATS_URL="tls://nats.example:4222")
    assert load(ServiceSettings).nats_url == "tls://nats.example:4222"


def test_a_password_in_a_url_is_refused_and_not_shown(set_only: Any) -> None:
    set_only(OVERT_NATS_URL="nats://ingest:hunter2@127.0.0.1:4222")
    (fault,) = faults()
    assert "hunter2" not in fault
    assert "not shown" in fault


def test_a_secret_is_never_shown(set_only: Any) -> None:
    class WithSecrets(ServiceSettings):
        webhook_secret: int = Field(default=0, description="a number")
        api_key: int = Field(default=0, description="a number")
        quiet: SecretStr = Field(default=SecretStr(""), max_length=3, description="three letters")

    set_only(OVERT_WEBHOOK_SECRET="hunter2", OVERT_API_KEY="hunter3", OVERT_QUIET="hunter4")
    told = faults(WithSecrets)
    assert len(told) == 3
    assert "hunter" not in "".join(told)


def test_what_is_shown_is_short(set_only: Any) -> None:
    set_only(OVERT_LOG_LEVEL="x" * 5000)
    assert len(faults()[0]) < 200


def test_the_drain_ends_before_the_hard_exit(set_only: Any) -> None:
    set_only(OVERT_DRAIN_SECONDS="15", OVERT_HARD_EXIT_SECONDS="15")
    assert faults() == ['OVERT_HARD_EXIT_SECONDS: given "15"; wants more than OVERT_DRAIN_SECONDS, which is 15']
    set_only(OVERT_DRAIN_SECONDS="20")
    os.environ.pop("OVERT_HARD_EXIT_SECONDS")
    assert faults() == ["OVERT_HARD_EXIT_SECONDS: not set; wants more than OVERT_DRAIN_SECONDS, which is 20"]


def test_a_list_that_is_not_json_is_one_fault_among_the_others(set_only: Any) -> None:
    class WithList(ServiceSettings):
        sizes: list[int] = Field(default=[1], description='a list of numbers like "[1, 2]"')

    set_only(OVERT_SIZES="one, two", OVERT_LOG_LEVEL="chatty")
    assert 'OVERT_SIZES: given "one, two"; wants a list of numbers like "[1, 2]"' in faults(WithList)
    assert len(faults(WithList)) == 2
    set_only(OVERT_SIZES='["a", "b"]', OVERT_LOG_LEVEL="info")
    assert len(faults(WithList)) == 1


def test_the_address_files_directory_has_to_exist(set_only: Any, tmp_path: Path) -> None:
    set_only(OVERT_ADDRESS_FILE=str(tmp_path / "no" / "address"))
    assert faults()[0].startswith("OVERT_ADDRESS_FILE")
    set_only(OVERT_ADDRESS_FILE=str(tmp_path / "address"))
    assert load(ServiceSettings).address_file == tmp_path / "address"


def test_no_dotenv_file_is_read(set_only: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("OVERT_LOG_LEVEL=debug\n")
    monkeypatch.chdir(tmp_path)
    set_only()
    assert load(ServiceSettings).log_level == "info"


def test_every_setting_says_what_it_wants() -> None:
    assert [name for name, info in ServiceSettings.model_fields.items() if not info.description] == []
