"""The API's description is complete: every route, its roles, its errors, and examples that are true to it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from overt.permissions import PUBLIC, ROUTES, Role
from overt_gateway.schemas.v1.ledger import LEDGER_EXAMPLE
from overt_gateway.testing import FakePeers

pytestmark = pytest.mark.unit

_PAGE = {("GET", "/"), ("GET", "/static/{path:path}")}


@pytest.fixture
async def described(client: httpx.AsyncClient, peers: FakePeers) -> dict[str, Any]:
    answer = await client.get("/v1/openapi.json", headers=peers.headers(Role.AUDITOR))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def _operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }


async def test_every_route_is_described(described: dict[str, Any]) -> None:
    assert set(_operations(described)) == set(ROUTES) - _PAGE


async def test_security_and_roles_are_those_of_the_table(described: dict[str, Any]) -> None:
    scheme = described["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for key, operation in _operations(described).items():
        roles = ROUTES[key]
        assert operation["security"] == ([] if roles is PUBLIC else [{"token": []}])
        assert operation.get("x-roles", []) == sorted(role.value for role in roles)


async def test_errors_are_described_as_problems(described: dict[str, Any]) -> None:
    for key, operation in _operations(described).items():
        if operation["tags"] == ["health"]:
            continue
        assert operation.get("description"), key
        statuses = set(operation["responses"])
        assert {"400", "413", "422", "500", "503"} <= statuses, key
        if ROUTES[key] is not PUBLIC:
            assert {"401", "403"} <= statuses, key
        if "{deployment}" in key[1]:
            assert "404" in statuses, key
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"], (key, status)
    assert "HTTPValidationError" not in str(described)


async def test_every_reference_is_there(described: dict[str, Any]) -> None:
    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(value) for value in node.values()))
        if isinstance(node, list):
            return set().union(*(references(value) for value in node))
        return set()

    for reference in references(described):
        name = reference.removeprefix("#/components/schemas/")
        assert name in described["components"]["schemas"]


async def test_bodies_and_answers_have_examples(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for name in (
        *("DeploymentIn", "DeploymentOut", "AimIn", "CalibrationOut", "ForecastOut", "ImportOut", "AlertOut"),
        *("LoginIn", "LoginOut", "Problem"),
    ):
        (example,) = schemas[name]["examples"]
        assert set(example) <= set(schemas[name]["properties"]), name
        assert set(schemas[name].get("required", [])) <= set(example), name


async def test_the_ledgers_example_has_the_ledgers_shape(
    client: httpx.AsyncClient, peers: FakePeers, draft: str
) -> None:
    answer = await client.get(f"/v1/deployments/{draft}/ledger", headers=peers.headers(Role.AUDITOR))

    def shape(node: Any) -> Any:
        return {key: shape(value) for key, value in node.items()} if isinstance(node, dict) else None

    real, example = shape(answer.json()), shape(LEDGER_EXAMPLE)
    for book in (real, real["tracks"], example, example["tracks"]):
        book.pop("reasons")
    assert real | {"cameras": None} == example | {"cameras": None}
