"""A real nats-server and a real process of the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.alerts_process import AlertsProcess
from support.nats import NatsServer


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def service(nats: NatsServer, tmp_path: Path) -> Iterator[AlertsProcess]:
    made = AlertsProcess(nats, tmp_path / "alerts")
    yield made
    made.close()
