"""Who may call: the guard of every route, and logging in with a one-time code."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from fastapi import Request
from overt.auth import Claims, TokenIssuer, TokenVerifier, bearer
from overt.errors import Rejected, Retryable
from overt.permissions import PEOPLE, PUBLIC, ROUTES, Role
from overt.reasons import Reason
from overt.runtime import Clock

MAX_CODE_LENGTH = 200
_MAX_CODE_FILE_BYTES = 1024 * 1024
_DIGEST = re.compile("[0-9a-f]{64}")


class Guard:
    """A dependency of the whole app: looks the matched route up in `overt.permissions.ROUTES`.

    A route that is not in the table is refused to everybody, with or without a token.
    """

    def __init__(self, verifier: TokenVerifier, *, routes: Mapping[tuple[str, str], frozenset[Role]] = ROUTES) -> None:
        self._verifier = verifier
        self._routes = routes

    async def __call__(self, request: Request) -> None:
        roles = self._routes.get((request.method, request.scope["route"].path))
        if roles is None:
            raise Rejected(Reason.NOT_ALLOWED, "this route is open to nobody")
        if roles is PUBLIC:
            return
        claims = self._verifier.verify(bearer(request.headers.get("authorization")))
        if claims.role not in roles:
            wanted = ", ".join(sorted(role.value for role in roles))
            raise Rejected(Reason.NOT_ALLOWED, f"this is for {wanted}; your token says {claims.role.value}")
        asked = request.path_params.get("deployment")
        if claims.deployment is not None and asked is not None and claims.deployment != asked:
            raise Rejected(Reason.NOT_ALLOWED, "your token is for another deployment")
        request.state.claims = claims


def claims_of(request: Request) -> Claims:
    """Of a request that has passed the guard on a route that is not public."""
    claims: Claims = request.state.claims
    return claims


@dataclass(frozen=True, slots=True)
class _Code:
    digest: str
    role: Role
    expires: datetime


class LoginCodes:
    """One-time codes from a file that somebody else writes: JSON lines of `sha256` (hex of the code's SHA-256),
    `role` and `expires` (seconds since 1970). Codes are random, 128 bits or more, so they need no slow hash.

    A used code's digest goes to `FILE.used` first, so that it works once even across a restart.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._used_path = path.with_name(path.name + ".used")
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def redeem(self, code: str) -> Role:
        """The role the code stands for. Rejected(CODE_INVALID), always in the same words, if it does not work."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._redeem, _digest(code))

    def _redeem(self, digest: str) -> Role:
        found = [known for known in self._read() if hmac.compare_digest(known.digest, digest)]
        good = [known for known in found if known.expires > self._clock.now()]
        if not good or digest in self._used():
            raise Rejected(Reason.CODE_INVALID, "this code is not known, was used before, or is too old")
        try:
            file = os.open(self._used_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, f"{digest}\n".encode())
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise Retryable("logins cannot be recorded at the moment, so none is let in") from error
        return good[0].role

    def _used(self) -> frozenset[str]:
        try:
            return frozenset(self._used_path.read_text(errors="replace").split())
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise Retryable("logins cannot be checked at the moment") from error

    def _read(self) -> list[_Code]:
        try:
            if self._path.stat().st_size > _MAX_CODE_FILE_BYTES:
                raise Retryable("the file of login codes is too large to be read")
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Retryable("login codes cannot be read at the moment") from error
        return [code for code in map(_parse, lines) if code is not None]


def _digest(code: str) -> str:
    # JSON can hold halves of characters, which have no bytes; no code has any.
    return sha256(code.encode(errors="replace")).hexdigest()


def _parse(line: bytes) -> _Code | None:
    """None for a line that cannot be used: one bad line locks nobody else out."""
    try:
        fields = json.loads(line.decode(errors="replace"))
        role, digest = Role(fields["role"]), str(fields["sha256"])
        # compare_digest takes no text but ASCII.
        if role not in PEOPLE or not _DIGEST.fullmatch(digest):
            return None
        return _Code(digest, role, datetime.fromtimestamp(float(fields["expires"]), UTC))
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token and what it is good for."""

    token: str
    role: Role
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Issued({self.role.value}, until {self.expires_at.isoformat()})"


class Tokens:
    """Issues tokens if this gateway has the local issuer's key; otherwise says how tokens are to be had."""

    def __init__(
        self, issuer: TokenIssuer | None, codes: LoginCodes | None, clock: Clock, *, login_lifetime: timedelta
    ) -> None:
        self._issuer = issuer
        self._codes = codes
        self._clock = clock
        self._login_lifetime = login_lifetime

    async def login(self, code: str) -> Issued:
        issuer = self._need_issuer()
        if self._codes is None:
            raise Rejected(
                Reason.NO_ISSUER,
                "this gateway knows no login codes: set OVERT_LOGIN_CODE_FILE, or use `overt token ROLE`",
            )
        role = await self._codes.redeem(code)
        return self._issue(issuer, role, subject=role.value, lifetime=self._login_lifetime)

    def for_camera(self, deployment: str, camera: str, *, until: datetime) -> Issued:
        """Bound to this camera of this deployment, until its window closes."""
        issuer = self._need_issuer()
        lifetime = until - self._clock.now()
        if lifetime <= timedelta(0):
            raise Rejected(Reason.OUTSIDE_WINDOW, "the window of this deployment is over")
        return self._issue(
            issuer,
            Role.CAMERA,
            subject=f"camera {camera}",
            lifetime=lifetime,
            deployment=deployment,
            camera=camera,
        )

    def _need_issuer(self) -> TokenIssuer:
        if self._issuer is None:
            raise Rejected(
                Reason.NO_ISSUER,
                "this gateway issues no tokens: get one from your identity provider or, on one machine, "
                "with `overt token ROLE`",
            )
        return self._issuer

    def _issue(
        self,
        issuer: TokenIssuer,
        role: Role,
        *,
        subject: str,
        lifetime: timedelta,
        deployment: str | None = None,
        camera: str | None = None,
    ) -> Issued:
        expires_at = self._clock.now() + lifetime
        token = issuer.issue(role, subject=subject, lifetime=lifetime, deployment=deployment, camera=camera)
        return Issued(token, role, expires_at)
