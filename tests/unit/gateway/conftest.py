"""A gateway in this process, over fakes of everything behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from overt.permissions import Role
from overt.testing import FakeClock
from overt_gateway.auth import LoginCodes
from overt_gateway.control import Control
from overt_gateway.testing import FakePeers
from overt_gateway.web_app import build_web_app


@pytest.fixture
def clock() -> FakeClock:
    """Begins now: tokens are checked against the real time."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def code_file(tmp_path: Path) -> Path:
    path = tmp_path / "login-codes"
    path.touch()
    return path


@pytest.fixture
def write_code(code_file: Path) -> Callable[..., str]:
    """Does what the local supervisor does."""

    def write(code: str, role: str = "operator", *, expires_in: float = 900.0) -> str:
        line = {
            "sha256": sha256(code.encode()).hexdigest(),
            "role": role,
            "expires": datetime.now(UTC).timestamp() + expires_in,
        }
        with code_file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return code

    return write


@pytest.fixture
def peers(clock: FakeClock, code_file: Path) -> FakePeers:
    return FakePeers(clock=clock, codes=LoginCodes(code_file, clock))


@pytest.fixture
def built(peers: FakePeers) -> tuple[FastAPI, Control]:
    return build_web_app(peers.parts())


@pytest.fixture
def app(built: tuple[FastAPI, Control]) -> FastAPI:
    return built[0]


@pytest.fixture
def control(built: tuple[FastAPI, Control]) -> Control:
    return built[1]


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


@pytest.fixture
async def draft(client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock) -> str:
    """A draft deployment `market` with a pushing camera `gate`."""
    answer = await client.post(
        "/v1/deployments",
        json={
            "name": "Market day",
            "id": "market",
            "starts_at": clock.now().isoformat(),
            "ends_at": (clock.now() + timedelta(hours=5)).isoformat(),
            "cameras": [{"id": "gate", "name": "North gate"}],
        },
        headers=peers.headers(Role.APPLICANT),
    )
    assert answer.status_code == 201, answer.text
    return "market"
