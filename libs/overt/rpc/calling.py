"""Who called the RPC that is being handled."""

from __future__ import annotations

from contextvars import ContextVar

from overt.auth import Claims
from overt.errors import Rejected
from overt.reasons import Reason

current: ContextVar[Claims | None] = ContextVar("overt_rpc_caller", default=None)


def caller() -> Claims:
    """In a handler, and in tasks started from one: the verified caller. Rejected(TOKEN_MISSING) where there
    is none: in an RPC that is open to everybody, and outside of any."""
    if (claims := current.get()) is None:
        raise Rejected(Reason.TOKEN_MISSING, "a token is needed")
    return claims
