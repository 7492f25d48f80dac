"""Errors to statuses and back, for every reason there is; and the table of permissions against the services."""

from __future__ import annotations

import importlib
import pkgutil

import grpc
import grpc.aio
import overt.api
import pytest
from overt.errors import Rejected, Retryable
from overt.permissions import RPCS
from overt.reasons import Reason
from overt.rpc import to_overt_error
from overt.rpc.errors import REASON_KEY, status_of

pytestmark = pytest.mark.unit


def failed(
    code: grpc.StatusCode, details: str | None = "said so", *trailing: tuple[str, str | bytes]
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_arrives(reason: Reason) -> None:
    understood = to_overt_error(failed(status_of(Rejected(reason, "x")), "said so", (REASON_KEY, reason.value)))
    assert isinstance(understood, Rejected)
    assert understood.reason is reason
    assert str(understood) == "said so"


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_never_sent_as_something_to_try_again(reason: Reason) -> None:
    assert not isinstance(to_overt_error(failed(status_of(Rejected(reason, "x")))), Retryable)


def test_statuses_are_what_other_clients_expect() -> None:
    named = {status_of(Rejected(reason, "x")): reason for reason in reversed(Reason)}
    assert set(named) == {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INTERNAL,
    }
    for reason in Reason:
        status = status_of(Rejected(reason, "x"))
        assert reason.startswith("token_") is (status is grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_without_a_reason_is_understood(code: grpc.StatusCode) -> None:
    understood = to_overt_error(failed(code))
    away = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"}
    assert isinstance(understood, Retryable) is (code.name in away)


@pytest.mark.parametrize("value", ["a_code_of_tomorrow", b"\xff", ""])
def test_a_reason_that_we_do_not_know(value: str | bytes) -> None:
    understood = to_overt_error(failed(grpc.StatusCode.NOT_FOUND, "x", (REASON_KEY, value)))
    assert isinstance(understood, Rejected)
    assert isinstance(to_overt_error(failed(grpc.StatusCode.UNAVAILABLE, "x", (REASON_KEY, value))), Retryable)


def test_a_status_without_words() -> None:
    assert str(to_overt_error(failed(grpc.StatusCode.UNAVAILABLE, None))) == "UNAVAILABLE"
    assert len(str(to_overt_error(failed(grpc.StatusCode.UNAVAILABLE, "x" * 10_000)))) <= 500


def test_every_rpc_has_its_permissions_and_nothing_else_has() -> None:
    methods = set()
    for module in pkgutil.walk_packages(overt.api.__path__, "overt.api."):
        if module.name.endswith("_pb2"):
            for service in importlib.import_module(module.name).DESCRIPTOR.services_by_name.values():
                methods |= {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert {method for method in RPCS if method.startswith("/overt.")} == methods


def test_a_status_that_grpc_lost_may_be_asked_for_again_and_a_peers_defect_may_not() -> None:
    assert isinstance(to_overt_error(failed(grpc.StatusCode.INTERNAL, "Internal error from Core")), Retryable)
    assert isinstance(to_overt_error(failed(grpc.StatusCode.INTERNAL, "internal error")), Rejected)
