"""One-time codes: each works once, across restarts too, and never from a query string."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from overt.permissions import Role
from overt.testing import FakeClock
from overt_gateway.auth import LoginCodes, Tokens
from overt_gateway.testing import FakePeers
from overt_gateway.web_app import build_web_app

pytestmark = pytest.mark.unit

WriteCode = Callable[..., str]


async def _login(client: httpx.AsyncClient, code: str) -> httpx.Response:
    return await client.post("/v1/login", json={"code": code})


async def test_a_code_becomes_a_token_once(client: httpx.AsyncClient, peers: FakePeers, write_code: WriteCode) -> None:
    code = write_code("a-code-of-128-bits", "auditor")
    answer = await _login(client, code)
    assert answer.status_code == 200
    assert answer.json()["role"] == "auditor"
    token = answer.json()["token"]
    me = await client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["role"] == "auditor"
    assert me.json()["deployment"] is None
    again = await _login(client, code)
    assert (again.status_code, again.json()["reason"]) == (401, "code_invalid")


async def test_a_used_code_stays_used_after_a_restart(
    client: httpx.AsyncClient, code_file: Path, write_code: WriteCode, clock: FakeClock
) -> None:
    code = write_code("again")
    assert (await _login(client, code)).status_code == 200
    later = FakePeers(clock=clock, codes=LoginCodes(code_file, clock))
    app, _ = build_web_app(later.parts())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as restarted:
        assert (await _login(restarted, code)).status_code == 401


async def test_of_many_at_once_one_gets_in(client: httpx.AsyncClient, write_code: WriteCode) -> None:
    code = write_code("race")
    answers = await asyncio.gather(*(_login(client, code) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 11


async def test_codes_that_do_not_work_are_told_apart_by_nothing(
    client: httpx.AsyncClient, write_code: WriteCode, code_file: Path
) -> None:
    write_code("old", expires_in=-1)
    write_code("machine", "service:ingest")
    write_code("lens", "camera")
    with code_file.open("a") as file:
        file.write('not json\n{"sha256": 1}\n[]\n{"sha256":"x","role":"king","expires":1e99}\n')
    good = write_code("good")
    answers = [await _login(client, code) for code in ("old", "machine", "lens", "unknown", "x" * 200)]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].status_code == 401
    assert (await _login(client, good)).status_code == 200, "bad lines lock nobody else out"


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00",
        b'{"sha256": "\xff", "role": "operator", "expires": 9e9}',
        '{"sha256": "é", "role": "operator", "expires": 9e9}'.encode(),
        b'{"sha256": "%s", "role": "operator", "expires": 9e9}' % (b"A" * 64),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"sha256": "%s", "role": "operator", "expires": 1e400}' % (b"a" * 64),
        b'{"sha256": "%s", "role": ["operator"], "expires": 9e9}' % (b"a" * 64),
        b"\xe2\x80\xa8" * 3,
    ],
)
async def test_a_line_that_cannot_be_used_locks_nobody_out(
    client: httpx.AsyncClient, write_code: WriteCode, code_file: Path, line: bytes
) -> None:
    code_file.write_bytes(line + b"\n")
    code_file.with_name(code_file.name + ".used").write_bytes(line + b"\n")
    good = write_code("good")
    assert (await _login(client, "bad")).status_code == 401
    assert (await _login(client, good)).status_code == 200
    assert (await _login(client, good)).status_code == 401


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"code": "x" * 201}, {"code": 5}, {"code": "a", "b": 1}, []])
async def test_bodies_that_are_no_login(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post("/v1/login", json=body)
    assert answer.status_code == 422


async def test_half_a_character_is_a_wrong_code_like_any_other(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/v1/login", content=rb'{"code": "\ud800"}', headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (401, "code_invalid")


async def test_the_code_is_never_echoed(client: httpx.AsyncClient) -> None:
    for body in ({"code": "topsecret" * 40}, {"code": ["topsecret"]}, {"codes": "topsecret"}):
        assert "topsecret" not in (await client.post("/v1/login", json=body)).text
    answer = await client.post(
        "/v1/login", content=b'{"code": "topsecret', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert "topsecret" not in answer.text


@pytest.mark.parametrize(
    "query", ["code=abc", "token=abc", "access_token=abc", "CODE=abc", "x=1&Token=", "%63ode=abc", "code", "password=x"]
)
async def test_secrets_in_a_query_are_refused_everywhere(
    client: httpx.AsyncClient, query: str, write_code: WriteCode
) -> None:
    code = write_code(f"code {query}")
    for method, path in (("POST", "/v1/login"), ("GET", "/"), ("GET", "/nothing"), ("GET", "/v1/me")):
        answer = await client.request(method, f"{path}?{query}", json={"code": code})
        assert answer.status_code == 400, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await _login(client, code)).status_code == 200, "it was not used up"


async def test_without_an_issuer_it_says_how_tokens_are_had(clock: FakeClock, code_file: Path) -> None:
    peers = FakePeers(clock=clock)
    for issuer, codes in ((None, LoginCodes(code_file, clock)), (peers.issuer, None)):
        peers.tokens = Tokens(issuer, codes, clock, login_lifetime=clock.now() - clock.now())
        app, _ = build_web_app(peers.parts())
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await _login(client, "x")
        assert (answer.status_code, answer.json()["reason"]) == (501, "no_issuer")
        assert "overt token" in answer.json()["detail"]


async def test_if_a_login_cannot_be_recorded_nobody_is_let_in(
    client: httpx.AsyncClient, write_code: WriteCode, code_file: Path
) -> None:
    code = write_code("good")
    # A directory in the way: not even root can append to it.
    used = code_file.with_name(code_file.name + ".used")
    used.mkdir()
    assert (await _login(client, code)).status_code == 503
    used.rmdir()
    assert (await _login(client, code)).status_code == 200
    assert used.stat().st_mode & 0o777 == 0o600
    assert "good" not in used.read_text()


def test_an_issued_token_is_not_in_its_repr(peers: FakePeers, clock: FakeClock) -> None:
    issued = peers.tokens.for_camera(
        "market", "gate", until=clock.now() + (clock.now() - clock.now()).resolution * 10**7
    )
    assert issued.token not in repr(issued)
    assert issued.role is Role.CAMERA
