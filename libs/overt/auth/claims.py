"""What a verified token says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from overt.errors import Rejected
from overt.permissions import Role
from overt.reasons import Reason


@dataclass(frozen=True, slots=True)
class Claims:
    """A caller, as its verified token tells. `deployment` and `camera` are both set on a camera's token.

    `subject` may be a person's login and `token_id` names one token: neither is shown by `repr`.
    """

    subject: str = field(repr=False)
    role: Role
    deployment: str | None
    camera: str | None
    expires_at: datetime
    token_id: str = field(repr=False)


def bearer(authorization: str | bytes | None) -> str:
    """The token of an `authorization` header, or Rejected(TOKEN_MISSING)."""
    # gRPC hands metadata over as bytes only under a `-bin` key, so bytes here are somebody's mistake.
    scheme, _, token = (authorization if isinstance(authorization, str) else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Rejected(Reason.TOKEN_MISSING, "send `authorization: Bearer TOKEN`")
    return token.strip()
