"""The settings that every service has. A service's own settings.py subclasses `ServiceSettings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, FilePath, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from overt.address import ADDRESS_FORMS, Address, is_loopback, split_host_port
from overt.settings.addresses import check_url


class _Environment(EnvSettingsSource):
    """Hands on a value that is not the JSON it should be, so that it is reported with all other faults."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class ServiceSettings(BaseSettings):
    """Read from OVERT_* variables with `overt.settings.load`; frozen; unknown variables are ignored.

    In a subclass, give every field a description that ends the sentence "wants ...", and check a relation
    between two fields in a `field_validator` of the *later* one (with `validate_default=True` and `info.data`,
    which lacks the fields that are faulty themselves): pydantic skips model validators once a field is at
    fault, and then one start would not tell everything. Raise ValueError with what is wanted. Secrets come as
    files, never as values.
    """

    model_config = SettingsConfigDict(
        env_prefix="OVERT_",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=False,
    )

    tls_certificate_file: FilePath | None = Field(
        default=None, description="a PEM file with the server's certificate chain"
    )
    tls_key_file: FilePath | None = Field(
        default=None, validate_default=True, description="a PEM file with the key of OVERT_TLS_CERTIFICATE_FILE"
    )
    tls_ca_file: FilePath | None = Field(default=None, description="a PEM file with the authorities to trust")
    listen: str = Field(default="127.0.0.1:0", description='"unix:/path" or "host:port"')
    address_file: Path | None = Field(
        default=None, description="a path in a directory that exists, to write the bound address to"
    )
    nats_url: str = Field(default="nats://127.0.0.1:4222", description="nats://host:port or tls://host:port")
    nats_user: str = Field(default="", description="the name of this service's user on the bus")
    nats_password_file: FilePath | None = Field(default=None, description="a file with the password of OVERT_NATS_USER")
    issuer_public_key_file: FilePath = Field(description="a PEM file with the token issuer's public key (Ed25519)")
    service_token_file: FilePath | None = Field(default=None, description="a file with this service's own token")
    metrics_remote: bool = Field(default=False, description="1 to let OVERT_METRICS_LISTEN leave this machine, or 0")
    metrics_listen: str | None = Field(default=None, description='"host:port" for Prometheus')
    otlp_endpoint: str | None = Field(
        default=None, description="http://127.0.0.1:port or https://host:port of an OTLP gRPC receiver"
    )
    trace_ratio: float = Field(default=1.0, ge=0, le=1, description="the part of new traces that is recorded, 0 to 1")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    drain_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="seconds that accepted work may take to finish after SIGTERM"
    )
    hard_exit_seconds: float = Field(
        default=15.0,
        gt=0,
        le=3600,
        validate_default=True,
        description="seconds after SIGTERM at which the process ends whatever it is doing",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keyword arguments (tests), then the environment. No .env files."""
        return init_settings, _Environment(settings_cls)

    @field_validator("tls_key_file")
    @classmethod
    def _both_or_none(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_certificate_file" not in info.data:
            return value
        certificate = info.data["tls_certificate_file"]
        if (certificate is None) != (value is None):
            raise ValueError("OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE: both of them or none")
        return value

    @field_validator("listen")
    @classmethod
    def _door(cls, value: str, info: ValidationInfo) -> str:
        try:
            address = Address.parse(value)
        except ValueError:
            raise ValueError(ADDRESS_FORMS) from None
        plain = info.data.get("tls_key_file", ...) is None
        if plain and not address.is_loopback:
            raise ValueError(
                "a loopback or unix address, or else TLS: set OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE"
            )
        return value

    @field_validator("address_file")
    @classmethod
    def _directory_exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.absolute().parent.is_dir():
            raise ValueError("a path in a directory that exists")
        return value

    @field_validator("nats_url")
    @classmethod
    def _bus(cls, value: str) -> str:
        check_url(value, schemes=("nats", "tls"), encrypted=("tls",))
        return value

    @field_validator("metrics_listen")
    @classmethod
    def _metrics_stay_here(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            host, _ = split_host_port(value)
            if not is_loopback(host) and not info.data.get("metrics_remote", True):
                raise ValueError("a loopback address, or OVERT_METRICS_REMOTE=1 as well")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _traces_travel_encrypted(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value, schemes=("http", "https"), encrypted=("https",))
        return value

    @field_validator("hard_exit_seconds")
    @classmethod
    def _drain_comes_first(cls, value: float, info: ValidationInfo) -> float:
        drain = info.data.get("drain_seconds")
        if drain is not None and value <= drain:
            raise ValueError(f"more than OVERT_DRAIN_SECONDS, which is {drain:g}")
        return value
