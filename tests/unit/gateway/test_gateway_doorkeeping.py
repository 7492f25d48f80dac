"""What every answer carries, what no request may, and errors that tell no more than they should."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from overt.permissions import Role
from overt.telemetry import SpanName
from overt.testing.telemetry import recorded_telemetry
from overt_gateway.doorkeeping import MAX_BODY_BYTES, BoundedBody
from overt_gateway.problems import BodyRefused
from overt_gateway.testing import FakePeers
from starlette.types import Message

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/static/page.css"),
        ("GET", "/static/nothing.css"),
        ("GET", "/healthz"),
        ("GET", "/nowhere"),
        ("GET", "/v1/me"),
        ("GET", "/v1/deployments?token=x"),
        ("POST", "/v1/login"),
        ("PUT", "/v1/login"),
        ("GET", "/v1/deployments/x/ledger"),
    ],
)
async def test_the_same_headers_on_every_answer(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path, headers={"Origin": "https://elsewhere.example"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert answer.headers["cache-control"] == ("no-store" if path.startswith("/v1") else "no-cache")
    assert "set-cookie" not in answer.headers


async def test_json_bodies_are_bounded(client: httpx.AsyncClient, peers: FakePeers) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 16 * 1024

    for headers in (peers.headers(Role.APPLICANT), {}):
        answer = await client.post(
            "/v1/deployments", content=endless(), headers={**headers, "content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["reason"]) == (413, "message_too_large")
    whole = b'{"code":"' + b"x" * MAX_BODY_BYTES + b'"}'
    answer = await client.post("/v1/login", content=whole, headers={"content-type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999", "0x10", "１２"])
async def test_lengths_that_are_no_number(length: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not reached")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "method": "POST", "headers": [(b"content-length", length.encode())]}
    await BoundedBody(app, limit_of=lambda path: 100)(scope, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 413


async def test_a_body_that_stops_arriving_is_given_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def receive() -> Message:
        if not hasattr(receive, "began"):
            receive.began = True  # type: ignore[attr-defined]
            return {"type": "http.request", "body": b"x", "more_body": True}
        await asyncio.sleep(3600)
        raise AssertionError

    bounded = BoundedBody(app, limit_of=lambda path: 100, idle_seconds=0.05)
    with pytest.raises(BodyRefused) as refused:
        await bounded({"type": "http", "path": "/", "headers": []}, receive, None)  # type: ignore[arg-type]
    assert refused.value.reason == "deadline"
    assert refused.value.status_code == 408


async def test_a_body_that_arrives_drop_by_drop_is_given_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def drop() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    bounded = BoundedBody(app, limit_of=lambda path: 10_000, idle_seconds=0.05)
    with pytest.raises(BodyRefused) as refused:
        async with asyncio.timeout(5):
            await bounded({"type": "http", "path": "/", "headers": []}, drop, None)  # type: ignore[arg-type]
    assert refused.value.reason == "deadline"


async def test_what_nobody_expected_is_opaque(
    client: httpx.AsyncClient, peers: FakePeers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: str) -> Any:
        raise ValueError("case-2231 rtsp://admin:hunter2@x")

    monkeypatch.setattr(peers.deployments, "get", broken)
    with caplog.at_level(logging.DEBUG):
        answer = await client.get("/v1/deployments/market", headers=peers.headers(Role.OPERATOR))
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["reason"] == "internal"
    assert len(problem["correlation"]) == 32
    assert "hunter2" not in answer.text
    assert "hunter2" not in caplog.text
    (record,) = [r for r in caplog.records if r.getMessage() == "request_failed"]
    fields = record.__dict__["overt_fields"]
    assert fields["correlation"] == problem["correlation"]
    assert fields["error"] == "ValueError"
    assert fields["route"] == "/v1/deployments/{deployment}"


async def test_a_caller_that_goes_away_is_no_defect(
    app: FastAPI, peers: FakePeers, draft: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of its upload: nobody is answered, and no 500 is counted."""
    incoming = [{"type": "http.request", "body": b"--b\r\n", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {**peers.headers(Role.APPLICANT), "content-type": "multipart/form-data; boundary=b"}
    path = f"/v1/deployments/{draft}/list/import"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    with caplog.at_level(logging.DEBUG), recorded_telemetry() as recorded:
        await app(scope, receive, send)
        statuses = [s.attributes["status"] for s in recorded.spans if s.name == SpanName.HTTP_SERVE]
    assert sent == []
    assert statuses == [0]
    told = [(r.levelname, r.getMessage()) for r in caplog.records if "overt_fields" in r.__dict__]
    assert told == [("INFO", "caller_went_away")]


async def test_what_is_not_there(client: httpx.AsyncClient) -> None:
    for path in ("/v1/nothing", "/favicon.ico", "/v1/deployments/", "/docs", "/openapi.json", "/static/../app.py"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_route"), path
    answer = await client.put("/v1/login")
    assert answer.status_code == 405
    assert answer.json()["status"] == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["..%2fapp.py", "%2e%2e/%2e%2e/pyproject.toml", "/etc/passwd", "page.css/", "__init__.py", ""]
)
async def test_only_the_pages_own_files_are_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"/static/{path}")).status_code == 404


async def test_problems_have_the_same_shape(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/me")
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "reason"}
    assert problem["status"] == answer.status_code == 401
    assert problem["type"] == "urn:overt:problem:token_missing"


async def test_ready_says_what_it_waits_for(peers: FakePeers) -> None:
    from overt_gateway.web_app import build_web_app

    missing = ["bus"]
    app, _ = build_web_app(peers.parts(), waiting_for=lambda: missing)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://g") as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "waiting", "waiting_for": ["bus"]})
        missing.clear()
        assert (await client.get("/readyz")).status_code == 200


async def test_long_queries_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/?" + "a=1&" * 100)).status_code == 400
    assert (await client.get("/?x=" + "a" * 3000)).status_code == 400
    assert (await client.get("/?x=1")).status_code == 200


def test_the_framework_writes_no_telemetry_of_its_own(app: FastAPI) -> None:
    # Its spans would carry query strings and client addresses, which are not on our closed list.
    native = getattr(app, "_native_telemetry", None)
    assert native is None or not native.enabled()
