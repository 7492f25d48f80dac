"""Errors as RFC 9457 problem documents. What we raise on purpose is told; anything else is opaque.

`reason` is the stable code (overt.reasons), `detail` is for people. Input is never echoed: it may hold a code,
a token or a camera's password.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import get_logger
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

_STATUS: dict[Reason, HTTPStatus] = {
    Reason.TOKEN_MISSING: HTTPStatus.UNAUTHORIZED,
    Reason.TOKEN_INVALID: HTTPStatus.UNAUTHORIZED,
    Reason.TOKEN_EXPIRED: HTTPStatus.UNAUTHORIZED,
    Reason.CODE_INVALID: HTTPStatus.UNAUTHORIZED,
    Reason.NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    Reason.SAME_PERSON: HTTPStatus.FORBIDDEN,
    Reason.UNKNOWN_CAMERA: HTTPStatus.NOT_FOUND,
    Reason.UNKNOWN_DEPLOYMENT: HTTPStatus.NOT_FOUND,
    Reason.UNKNOWN_ENTRY: HTTPStatus.NOT_FOUND,
    Reason.UNKNOWN_ALERT: HTTPStatus.NOT_FOUND,
    Reason.UNKNOWN_ROUTE: HTTPStatus.NOT_FOUND,
    Reason.DEADLINE: HTTPStatus.REQUEST_TIMEOUT,
    Reason.WRONG_STATE: HTTPStatus.CONFLICT,
    Reason.OUTSIDE_WINDOW: HTTPStatus.CONFLICT,
    Reason.NO_CAMERA: HTTPStatus.CONFLICT,
    Reason.LIST_EMPTY: HTTPStatus.CONFLICT,
    Reason.LIST_NOT_EMPTY: HTTPStatus.CONFLICT,
    Reason.UNCALIBRATED: HTTPStatus.CONFLICT,
    Reason.LIST_SEALED: HTTPStatus.CONFLICT,
    Reason.LIST_NOT_SEALED: HTTPStatus.CONFLICT,
    Reason.LIST_NOT_READY: HTTPStatus.CONFLICT,
    Reason.MODEL_MISMATCH: HTTPStatus.CONFLICT,
    Reason.CONFLICT: HTTPStatus.CONFLICT,
    Reason.EXPIRED: HTTPStatus.GONE,
    Reason.MESSAGE_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.NO_ISSUER: HTTPStatus.NOT_IMPLEMENTED,
    Reason.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Refused(Rejected):
    """Rejected with another status than its reason usually has."""

    def __init__(self, status: HTTPStatus, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.status = status


class BodyRefused(HTTPException):
    """Raised while a body is read. An HTTPException, because that is what the framework lets pass there."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(status_of(reason), detail=message)
        self.reason = reason


def status_of(reason: Reason) -> HTTPStatus:
    """Input that does not parse is 422, like the framework's own validation."""
    return _STATUS.get(reason, HTTPStatus.UNPROCESSABLE_ENTITY)


def problem(
    status: HTTPStatus, reason: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """A problem document."""
    body = {
        "type": f"urn:overt:problem:{reason}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "reason": reason,
        **more,
    }
    extra = dict(headers or {})
    if status is HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(body, status.value, extra, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """The handlers of everything that is raised on purpose."""
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(Retryable, _retryable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _rejected(request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)
    status = error.status if isinstance(error, Refused) else status_of(error.reason)
    return problem(status, error.reason, str(error))


async def _retryable(request: Request, error: Exception) -> Response:
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, Reason.UNAVAILABLE, str(error) or "try again in a moment")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [{"where": _where(fault["loc"]), "message": _message(fault)} for fault in error.errors()]
    named = ", ".join(dict.fromkeys(fault["where"] for fault in faults))
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, Reason.BAD_FIELD, f"not usable as sent: {named}", faults=faults)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if isinstance(error, BodyRefused):
        # Part of the body is still on its way: this connection cannot carry another request.
        return problem(status, error.reason, error.detail, headers={"Connection": "close"})
    if status is HTTPStatus.NOT_FOUND:
        return problem(status, Reason.UNKNOWN_ROUTE, "there is nothing at this path")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        return problem(status, Reason.UNKNOWN_ROUTE, "not with this method", headers=error.headers)
    return problem(status, Reason.BAD_MESSAGE, status.phrase, headers=error.headers)


def _where(location: Sequence[Any]) -> str:
    parts = [str(part) for part in location if part != "body"]
    return ".".join(parts) or "body"


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "value_error":
        # Raised by one of our validators, in our words.
        return str(fault.get("ctx", {}).get("error", fault["msg"]))
    return str(fault["msg"])


class OpaqueErrors:
    """Outermost: whatever nobody expected becomes a 500 with a correlation id, logged by type and place only.

    A caller that goes away in the middle of its body is no defect, and there is nobody to answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note)
        except ClientDisconnect:
            log.info("caller_went_away", method=scope["method"], route=route_of(scope))
        except Exception as error:  # noqa: BLE001 - the outermost loop of a request
            correlation = uuid.uuid4().hex
            log.error(
                "request_failed",
                error=error,
                correlation=correlation,
                method=scope["method"],
                route=route_of(scope),
            )
            if not started:
                answer = problem(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    Reason.INTERNAL,
                    "something went wrong here; the log knows it under the correlation id",
                    correlation=correlation,
                )
                await answer(scope, receive, send)


def route_of(scope: Scope) -> str:
    """The route's pattern, never the path itself: ids stay out of logs and spans."""
    return getattr(scope.get("route"), "path", "none")
