"""Tokens: JWT, EdDSA over Ed25519 and nothing else, issued by `overt` for `overt`, always with an end.

A token's text is a secret: it is in no exception, log or repr of this module.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt

from overt.auth.claims import Claims
from overt.auth.keys import load_private, load_public
from overt.errors import Rejected
from overt.permissions import Role
from overt.reasons import Reason

ISSUER = AUDIENCE = "overt"
ALGORITHM = "EdDSA"
LEEWAY = timedelta(seconds=5)
"""Clocks of the hosts of one operation are this close, or something else is wrong first."""

MAX_TOKEN_CHARACTERS = 4096
"""Ours have about 400. More is refused before anything parses it."""

_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti", "role"]


def _now() -> datetime:
    return datetime.now(UTC)


class TokenIssuer:
    """Signs tokens. Whoever holds one can be anybody: only the gateway and the supervisor do."""

    def __init__(self, private_pem: bytes, *, now: Callable[[], datetime] = _now) -> None:
        self._key = load_private(private_pem)
        self._now = now

    def issue(
        self,
        role: Role,
        *,
        subject: str,
        lifetime: timedelta,
        deployment: str | None = None,
        camera: str | None = None,
    ) -> str:
        """A token for `subject` in `role`. A camera's must be bound to its deployment and camera: ValueError."""
        if not subject or lifetime <= timedelta(0):
            raise ValueError("a token needs a subject and a lifetime above zero")
        if not _binding_fits(role, deployment, camera):
            raise ValueError("a camera's token is bound to one deployment and camera, nobody else's to a camera")
        issued_at = self._now()
        payload: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": issued_at,
            "exp": issued_at + lifetime,
            "jti": str(uuid.uuid4()),
            "role": role.value,
        }
        if deployment is not None:
            payload["deployment"] = deployment
        if camera is not None:
            payload["camera"] = camera
        return jwt.encode(payload, self._key, algorithm=ALGORITHM)


class TokenVerifier:
    """Checks tokens with the issuer's public key, which cannot make any. Fatal if that key is unusable."""

    def __init__(self, public_pem: bytes) -> None:
        self._key = load_public(public_pem)

    def verify(self, token: str) -> Claims:
        """What the token claims; Rejected with TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_INVALID."""
        if not token:
            raise Rejected(Reason.TOKEN_MISSING, "a token is needed")
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise _invalid()
        try:
            # The list of algorithms is what shuts out `none` and an HMAC keyed with our public key.
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY,
                options={"require": _REQUIRED, "strict_aud": True},
            )
            return _claims(payload)
        except jwt.ExpiredSignatureError:
            raise Rejected(Reason.TOKEN_EXPIRED, "the token has expired; get a new one") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            # Not chained: a library's message may quote parts of the token.
            raise _invalid() from None


def _claims(payload: dict[str, object]) -> Claims:
    """ValueError or TypeError where a signed payload is not one of ours."""
    role = Role(str(payload["role"]))
    deployment, camera = _text(payload.get("deployment")), _text(payload.get("camera"))
    subject, token_id, expires = payload["sub"], payload["jti"], payload["exp"]
    if not (isinstance(subject, str) and subject and isinstance(token_id, str) and isinstance(expires, int)):
        raise TypeError("a claim has the wrong type")
    if not _binding_fits(role, deployment, camera):
        raise ValueError("a camera's token without its binding")
    return Claims(
        subject=subject,
        role=role,
        deployment=deployment,
        camera=camera,
        expires_at=datetime.fromtimestamp(expires, UTC),
        token_id=token_id,
    )


def _text(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise TypeError("a claim has the wrong type")


def _binding_fits(role: Role, deployment: str | None, camera: str | None) -> bool:
    if role is Role.CAMERA:
        return bool(deployment and camera)
    return camera is None


def _invalid() -> Rejected:
    return Rejected(Reason.TOKEN_INVALID, "the token is not valid here")
