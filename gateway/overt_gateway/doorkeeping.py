"""What every request meets before a route: bounds on what it sends, and headers on what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qsl

from overt.limits import MAX_COHORT_BYTES
from overt.reasons import Reason
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overt_gateway.problems import BodyRefused, problem

MAX_BODY_BYTES = 64 * 1024
"""A deployment with 64 cameras and their zones is 30 kB of JSON. Only a list's archive and a cohort are larger."""
MAX_ARCHIVE_BYTES = 64 * 1024 * 1024
IDLE_BODY_S = 20.0
"""A body that makes no progress for so long is given up: slow senders hold no memory."""
SLOWEST_BODY = 64 * 1024
"""Bytes a second, beyond IDLE_BODY_S: one that makes too little progress is given up as well."""
MAX_HEADER_BYTES = 16 * 1024
MAX_QUERY_BYTES = 2048
_MAX_QUERY_FIELDS = 32

_SECRETS = frozenset({"token", "access_token", "id_token", "code", "authorization", "jwt", "password"})
"""Query strings end up in logs and histories, so none of these is ever taken from one."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class SecurityHeaders:
    """The same headers on every answer, errors too; `no-store` on everything under /v1."""

    def __init__(self, app: ASGIApp, *, encrypted: bool) -> None:
        self._app = app
        self._headers = dict(_HEADERS)
        if encrypted:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                if scope["path"].startswith("/v1"):
                    headers["Cache-Control"] = "no-store"
                else:
                    headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, dressed)


class BoundedHead:
    """431 for headers or a path beyond the bound (the server's own bound is on what arrives in pieces), and 400 for
    a token or a code in the query string, before anything looks at it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            size = len(scope["path"]) + sum(len(name) + len(value) for name, value in scope["headers"])
            if size > MAX_HEADER_BYTES:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                told = f"path and headers are at most {MAX_HEADER_BYTES} bytes together"
                await problem(status, Reason.MESSAGE_TOO_LARGE, told)(scope, receive, send)
                return
            if fault := _query_fault(scope["query_string"]):
                await problem(HTTPStatus.BAD_REQUEST, Reason.BAD_FIELD, fault)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _query_fault(query: bytes) -> str:
    if len(query) > MAX_QUERY_BYTES:
        return f"a query string is at most {MAX_QUERY_BYTES} bytes"
    try:
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return "this query string cannot be read"
    if any(name.strip().lower() in _SECRETS for name, _ in fields):
        return "never put a token or a code in a URL: send it in the Authorization header, or the code in the body"
    return ""


class BoundedBody:
    """Counts what arrives and stops at the limit (413), or when nothing or too little arrives (408).

    `limit_of` gives the limit of a path. Everything is counted while it streams: Content-Length is believed only
    when it already says too much.
    """

    def __init__(self, app: ASGIApp, *, limit_of: Callable[[str], int], idle_seconds: float = IDLE_BODY_S) -> None:
        self._app = app
        self._limit_of = limit_of
        self._idle = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit_of(scope["path"])
        announced = Headers(scope=scope).get("content-length", "0")
        too_large = f"a body here is at most {limit} bytes"
        if not announced.isdecimal() or len(announced) > 15 or int(announced) > limit:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            answer = problem(status, Reason.MESSAGE_TOO_LARGE, too_large, headers={"Connection": "close"})
            await answer(scope, receive, send)
            return
        seen = 0
        complete = False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._idle + limit / SLOWEST_BODY

        async def counted() -> Message:
            nonlocal seen, complete
            if complete:
                # What comes now is the client going away: that may take as long as it likes.
                return await receive()
            try:
                async with asyncio.timeout_at(min(deadline, loop.time() + self._idle)):
                    message = await receive()
            except TimeoutError:
                raise BodyRefused(Reason.DEADLINE, "the body stopped arriving") from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if seen > limit:
                    raise BodyRefused(Reason.MESSAGE_TOO_LARGE, too_large)
            return message

        await self._app(scope, counted, send)


def body_limit(path: str) -> int:
    """Bytes that a path takes at most."""
    if path.endswith("/calibration"):
        return MAX_COHORT_BYTES
    return MAX_ARCHIVE_BYTES if path.endswith("/list/import") else MAX_BODY_BYTES
