"""Every route is in the table, everything in the table is a route, and every role meets every route."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from overt.errors import Rejected
from overt.permissions import PUBLIC, ROUTES, Role
from overt_gateway.auth import Guard
from overt_gateway.testing import FakePeers
from starlette.requests import Request

pytestmark = pytest.mark.unit

_FILLED = {
    "{deployment}": "nowhere",
    "{camera}": "gate",
    "{entry}": "e1",
    "{alert}": "a1",
    "{part}": "probe",
    "{path:path}": "page.css",
}


def _path(pattern: str) -> str:
    for name, value in _FILLED.items():
        pattern = pattern.replace(name, value)
    assert "{" not in pattern
    return pattern


def test_the_app_and_the_table_name_the_same_routes(app: FastAPI) -> None:
    served = set()
    for route in app.routes:
        # A mount or a plain Starlette route would not pass the guard.
        assert isinstance(route, APIRoute), route
        served |= {(method, route.path) for method in route.methods}
    assert served == set(ROUTES)


def test_every_route_passes_the_guard(app: FastAPI) -> None:
    for route in app.routes:
        assert isinstance(route, APIRoute)
        guards = [d for d in route.dependant.dependencies if isinstance(d.call, Guard)]
        assert len(guards) == 1, route.path


@pytest.mark.parametrize(("method", "pattern"), sorted(ROUTES))
async def test_each_role_gets_where_the_table_says_and_nowhere_else(
    method: str, pattern: str, client: httpx.AsyncClient, peers: FakePeers
) -> None:
    allowed = ROUTES[method, pattern]
    for role in Role:
        answer = await client.request(method, _path(pattern), headers={"Authorization": f"Bearer {peers.token(role)}"})
        if allowed is PUBLIC or role in allowed:
            # Past the guard: what comes then is about the request, not about the role.
            assert answer.status_code not in (401, 403), (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert answer.json()["reason"] == "not_allowed"


@pytest.mark.parametrize(("method", "pattern"), sorted(ROUTES))
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic b3A6b3A=", "Bearer not.a.token"])
async def test_without_a_good_token_only_the_public_routes_answer(
    method: str, pattern: str, header: str, client: httpx.AsyncClient
) -> None:
    answer = await client.request(method, _path(pattern), headers={"Authorization": header})
    if ROUTES[method, pattern] is PUBLIC:
        assert answer.status_code not in (401, 403)
    else:
        assert answer.status_code == 401
        assert answer.json()["reason"] in {"token_missing", "token_invalid"}
        assert answer.headers["www-authenticate"] == "Bearer"


def test_only_health_login_and_the_page_are_public() -> None:
    public = {route for route, roles in ROUTES.items() if roles is PUBLIC}
    assert public == {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/"),
        ("GET", "/static/{path:path}"),
        ("POST", "/v1/login"),
    }


async def test_a_route_that_is_not_in_the_table_is_open_to_nobody(peers: FakePeers) -> None:
    guard = Guard(peers.verifier, routes={})
    route = APIRoute("/v1/me", endpoint=lambda: None)
    token = peers.token(Role.ADMINISTRATOR)
    request = Request(
        {
            "type": "http",
            "method": "GET",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "route": route,
            "path_params": {},
        }
    )
    with pytest.raises(Rejected) as refused:
        await guard(request)
    assert refused.value.reason == "not_allowed"


async def test_a_token_for_one_deployment_opens_no_other(
    client: httpx.AsyncClient, peers: FakePeers, draft: str
) -> None:
    bound = peers.headers(Role.OPERATOR, deployment="elsewhere")
    answer = await client.get(f"/v1/deployments/{draft}", headers=bound)
    assert (answer.status_code, answer.json()["reason"]) == (403, "not_allowed")
    answer = await client.get("/v1/deployments", headers=bound)
    assert answer.json()["deployments"] == []
    here = peers.headers(Role.OPERATOR, deployment=draft)
    assert (await client.get(f"/v1/deployments/{draft}", headers=here)).status_code == 200
    assert len((await client.get("/v1/deployments", headers=here)).json()["deployments"]) == 1


async def test_a_token_for_one_deployment_creates_no_other(client: httpx.AsyncClient, peers: FakePeers) -> None:
    bound = peers.headers(Role.APPLICANT, deployment="mine")
    for asked in ({"name": "Another", "id": "another"}, {"name": "mine"}):
        refused = await client.post("/v1/deployments", json=asked, headers=bound)
        assert (refused.status_code, refused.json()["reason"]) == (403, "not_allowed")
    made = await client.post("/v1/deployments", json={"name": "Mine", "id": "mine"}, headers=bound)
    assert made.status_code == 201


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE"])
async def test_other_methods_are_refused(method: str, client: httpx.AsyncClient) -> None:
    answer = await client.request(method, "/v1/deployments")
    assert answer.status_code == 405
