"""A real nats-server for tests, on a free port, with the permissions that Overt writes for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from overt.bus import BusAddress, password_variable, server_config, server_password
from overt.bus.config import STORE_KEY_VARIABLE
from overt.runtime.supervisor import on_a_leash
from overt.subjects import Service

_DEADLINE_SECONDS = 15


def nats_server_binary() -> str:
    """The one of the environment that runs the tests."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise RuntimeError("no nats-server: install the extra `lab`")
    return found


class NatsServer:
    """Start it, use `address(service)`, stop it. `kill` and `start` again keep port and store: a crash."""

    def __init__(self, directory: Path, *, encrypted: bool = False, **config: Any) -> None:
        """`config` goes to overt.bus.server_config as it is."""
        self.directory = directory
        self.store_dir = directory / "store"
        self._passwords = {service: server_password() for service in Service}
        self._store_key = server_password() if encrypted else None
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._port = -1
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def password(self, service: Service) -> str:
        return self._passwords[service]

    def address(self, service: Service) -> BusAddress:
        return BusAddress(self.url, service.value, self._passwords[service])

    def start(self) -> None:
        """Returns when it takes connections; on the port it had before, if it had one."""
        for old in self.directory.glob("*.ports"):
            old.unlink()
        config = self.directory / "nats-server.conf"
        config.write_text(
            server_config(
                store_dir=self.store_dir,
                port=self._port,
                ports_file_dir=self.directory,
                store_key_variable=STORE_KEY_VARIABLE if self._store_key else None,
                **self._config,
            )
        )
        environment = {password_variable(s): p for s, p in self._passwords.items()}
        if self._store_key:
            environment[STORE_KEY_VARIABLE] = self._store_key
        with (self.directory / "nats-server.log").open("ab") as log:
            self._process = subprocess.Popen(
                on_a_leash(nats_server_binary(), "-c", str(config)),
                env=environment | {"PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._port = self._bound_port()

    def kill(self) -> None:
        """-9, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    def pause(self) -> None:
        """It neither answers nor goes, until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        return (self.directory / "nats-server.log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        if how is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _bound_port(self) -> int:
        assert self._process is not None
        written = self.directory / f"nats-server_{self._process.pid}.ports"
        until = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                urls = json.loads(written.read_text())["nats"]
                return int(urls[0].rpartition(":")[2])
            except (OSError, ValueError):
                time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"nats-server did not start:\n{self.log()[-2000:]}")
