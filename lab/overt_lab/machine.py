"""The whole system on one machine: a real nats-server and every service as a child process.

Everything listens on loopback or on Unix sockets in a directory that only this user can enter. Secrets are
files in it, mode 0600. `overt up`, `overt demo`, the bench and the end-to-end tests all run this.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from overt.auth import TokenIssuer, generate_issuer_key
from overt.bus import password_variable, server_config, server_password
from overt.errors import Fatal
from overt.permissions import Role
from overt.rpc import Address
from overt.runtime import Clock, SystemClock
from overt.runtime.supervisor import ChildSpec, Supervisor
from overt.subjects import Service

from overt_lab.layout import Layout, write_private
from overt_lab.login_codes import login_link
from overt_lab.running import RUN_PREFIX, Hold, Running

SERVICE_TOKEN_LIFE = timedelta(hours=12)
SERVICE_TOKEN_RENEWAL = timedelta(hours=4)
_LOOK_EVERY_S = 60.0
_STORE_KEY = "OVERT_NATS_STORE_KEY"  # the variable that nats-server reads the key of its file encryption from

_SERVICE_ROLES = {
    Service.INGEST: Role.SERVICE_INGEST,
    Service.MATCH: Role.SERVICE_MATCH,
    Service.GATEWAY: Role.SERVICE_GATEWAY,
}
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "PYTHONPATH",
    "OVERT_STRICT_TELEMETRY",
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to run it. Addresses may have port 0."""

    data: Path
    gateway_listen: str = "127.0.0.1:0"
    camera_listen: str = "127.0.0.1:0"
    encrypt_store: bool = True
    otlp_endpoint: str | None = None
    extra: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """More environment, by service name: for tests and for tuning."""


class Machine:
    """Started with `up()`, stopped with `down()`; both idempotent. One event loop, one owner."""

    def __init__(
        self, options: Options, *, say: Callable[[str], None] = lambda text: None, clock: Clock | None = None
    ) -> None:
        self._options = options
        self._say = say
        self._clock = clock or SystemClock()
        # Unix socket paths end at 108 bytes, so the run directory is short and not below the data directory.
        self.layout = Layout(options.data, Path(tempfile.mkdtemp(prefix=RUN_PREFIX)))
        self.supervisor = Supervisor(self._on_death)
        self.deaths: list[tuple[str, int]] = []
        self._issuer: TokenIssuer | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._nats_port = 0
        self._hold: Hold | None = None

    @property
    def gateway_url(self) -> str:
        """`http://127.0.0.1:PORT`"""
        address = self.supervisor["gateway"].address or ""
        return address if address.startswith("http") else f"http://{address}"

    @property
    def nats_url(self) -> str:
        """`nats://127.0.0.1:PORT`; users and passwords are in the layout."""
        return f"nats://127.0.0.1:{self._nats_port}"

    @property
    def camera_address(self) -> str:
        """`127.0.0.1:PORT` of the camera gRPC door."""
        return self.supervisor["ingest"].address or ""

    def token(
        self,
        role: Role,
        *,
        subject: str = "demo",
        lifetime: timedelta = timedelta(hours=1),
        deployment: str | None = None,
        camera: str | None = None,
    ) -> str:
        """A token from this machine's own issuer."""
        assert self._issuer is not None, "up() first"
        return self._issuer.issue(role, subject=subject, lifetime=lifetime, deployment=deployment, camera=camera)

    def login_link(self, role: Role) -> str:
        """An address that logs in to the page once."""
        return login_link(self.gateway_url, self.layout.login_codes, role)

    async def up(self) -> None:
        """Returns when every service is ready. Fatal says which one is not, with its last words."""
        started = time.monotonic()
        try:
            self._prepare_directories()
            self._hold = Hold(self.layout)
            _check_free({"--listen": self._options.gateway_listen, "--camera-listen": self._options.camera_listen})
            self._issuer = self._make_issuer()
            self._write_service_tokens()
            passwords = {service: server_password() for service in Service}
            for service, password in passwords.items():
                write_private(self.layout.password(service), password)
            await self._start_nats(passwords)
            base = self._base_environment()
            await self.supervisor.start(self._service(Service.ALERTS, base), self._service(Service.DETECT, base))
            await self.supervisor.start(self._service(Service.MATCH, base))
            await self.supervisor.start(self._service(Service.INGEST, base))
            await self.supervisor.start(self._service(Service.GATEWAY, base))
            self._hold.ready(Running(self.gateway_url, self.camera_address, self.layout, os.getpid()))
        except BaseException:
            await self.down()
            raise
        self._renewal = asyncio.create_task(self._renew_tokens(), name="renew service tokens")
        self._say(f"all services are up ({time.monotonic() - started:.1f} s)")

    async def down(self) -> None:
        """Stops everything and removes the run directory with its secrets. The data directory stays."""
        renewal, self._renewal = self._renewal, None
        try:
            if renewal is not None:
                renewal.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await renewal
        finally:
            try:
                await self.supervisor.stop()
            finally:
                shutil.rmtree(self.layout.run, ignore_errors=True)
                if self._hold is not None:
                    self._hold.release()

    def _prepare_directories(self) -> None:
        for folder in (self.layout.data, self.layout.nats, self.layout.keys, self.layout.logs):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                probe = folder / ".writable"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise Fatal(
                    f"the data directory {folder} is not writable ({error.strerror}): "
                    "give it to this user, or say another one with --data DIR"
                ) from error

    def _make_issuer(self) -> TokenIssuer:
        private, public = generate_issuer_key()
        write_private(self.layout.issuer_key, private)
        write_private(self.layout.issuer_public, public)
        write_private(self.layout.login_codes, b"")
        return TokenIssuer(private)

    def _write_service_tokens(self) -> None:
        for service, role in _SERVICE_ROLES.items():
            token = self.token(role, subject=str(service), lifetime=SERVICE_TOKEN_LIFE)
            write_private(self.layout.token(service), token)

    async def _renew_tokens(self) -> None:
        """By the wall clock, for that is what tokens end by: a sleep does not count the hours of a closed lid."""
        renewed_at = self._clock.now()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            # A clock that was set back makes tokens of the future, which nobody takes.
            if timedelta(0) <= self._clock.now() - renewed_at < SERVICE_TOKEN_RENEWAL:
                continue
            try:
                self._write_service_tokens()
            except OSError as error:
                self._say(
                    f"the services' tokens cannot be renewed in {self.layout.run} ({error.strerror}): make room there; "
                    "trying again every minute"
                )
                continue
            renewed_at = self._clock.now()

    async def _start_nats(self, passwords: Mapping[Service, str]) -> None:
        binary = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        if binary is None:
            raise Fatal("nats-server is not installed: run `make env`")
        port = self._nats_port = _free_port()
        config = self.layout.run / "nats-server.conf"
        text = server_config(
            store_dir=self.layout.nats,
            port=port,
            store_key_variable=_STORE_KEY if self._options.encrypt_store else None,
        )
        write_private(config, text)
        environment = {
            **_inherited(),
            **{password_variable(service): password for service, password in passwords.items()},
            _STORE_KEY: self._store_key(),
        }
        spec = ChildSpec(
            name="nats",
            command=(binary, "-c", str(config)),
            environment=environment,
            log_file=self.layout.logs / "nats.log",
            probe=lambda: _answers(port),
        )
        await self.supervisor.start(spec)

    def _store_key(self) -> str:
        """Of JetStream's file encryption; it has to outlive a restart, so it stays beside the keyring."""
        path = self.layout.store_key
        if not path.exists():
            write_private(path, server_password())
        return path.read_text()

    def _base_environment(self) -> dict[str, str]:
        base = {
            **_inherited(),
            "OVERT_NATS_URL": self.nats_url,
            "GRPC_VERBOSITY": "NONE",  # its core writes past our structured logs otherwise
            "OVERT_ISSUER_PUBLIC_KEY_FILE": str(self.layout.issuer_public),
            "OVERT_DETECT_ADDRESS": self.layout.socket(Service.DETECT),
            "OVERT_MATCH_ADDRESS": self.layout.socket(Service.MATCH),
            "OVERT_ALERTS_ADDRESS": self.layout.socket(Service.ALERTS),
        }
        for name in ("OVERT_MODEL_DIR", "OVERT_MODEL_PACK"):
            if name in os.environ:
                base[name] = os.environ[name]
        if self._options.otlp_endpoint:
            base["OVERT_OTLP_ENDPOINT"] = self._options.otlp_endpoint
        return base

    def _service(self, service: Service, base: Mapping[str, str]) -> ChildSpec:
        listen = {
            Service.GATEWAY: self._options.gateway_listen,
            Service.INGEST: self._options.camera_listen,
        }.get(service, self.layout.socket(service))
        environment = {
            **base,
            "OVERT_LISTEN": listen,
            "OVERT_ADDRESS_FILE": str(self.layout.address(service)),
            "OVERT_NATS_USER": str(service),
            "OVERT_NATS_PASSWORD_FILE": str(self.layout.password(service)),
        }
        if service in _SERVICE_ROLES:
            environment["OVERT_SERVICE_TOKEN_FILE"] = str(self.layout.token(service))
        if service in (Service.INGEST, Service.DETECT):
            environment["OVERT_RING_SOCKET"] = str(self.layout.ring)
        if service is Service.ALERTS:
            environment["OVERT_DATA_DIR"] = str(self.layout.keys)
        if service is Service.GATEWAY:
            environment["OVERT_LOGIN_CODE_FILE"] = str(self.layout.login_codes)
            environment["OVERT_ISSUER_PRIVATE_KEY_FILE"] = str(self.layout.issuer_key)
        environment.update(self._options.extra.get(service, {}))
        return ChildSpec(
            name=service,
            command=(sys.executable, "-m", f"overt_{service}"),
            environment=environment,
            log_file=self.layout.logs / f"{service}.log",
            address_file=self.layout.address(service),
            listen_variable="OVERT_LISTEN",
            ready_within=timedelta(seconds=120),
        )

    def _on_death(self, name: str, code: int) -> None:
        self.deaths.append((name, code))
        self._say(f"{name} ended unexpectedly (exit code {code}); starting it again")


def _inherited() -> dict[str, str]:
    """Only what a process needs: no variable of the caller leaks into a service."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    return {**{k: os.environ[k] for k in _PASSED_ON if k in os.environ}, "PATH": path}


def _check_free(doors: Mapping[str, str]) -> None:
    """Option -> address. What would stop the last service stops us before the first one is started."""
    with contextlib.ExitStack() as held:
        for option, text in doors.items():
            try:
                address = Address.parse(text)
            except ValueError as error:
                raise Fatal(f"{option}: {error}") from None
            if address.path is not None or not address.is_loopback:
                raise Fatal(
                    f"{option}: on one machine nothing speaks TLS, so {text} is not listened on; say 127.0.0.1:PORT, "
                    "or deploy as docs/operations/deploy.md says"
                )
            try:
                family, kind, protocol, _, where = socket.getaddrinfo(
                    address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )[0]
                probe = held.enter_context(socket.socket(family, kind, protocol))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                probe.listen()  # with SO_REUSEADDR only a listener keeps the other door from the same port
            except OSError as error:
                why = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
                raise Fatal(
                    f"cannot listen on {address} ({why}): stop what uses it, or say another one with {option}; "
                    "port 0 takes a free one"
                ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
        return True
    return False
