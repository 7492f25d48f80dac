"""Between Overt's errors and gRPC's statuses. The reason code travels in trailing metadata."""

from __future__ import annotations

import grpc
import grpc.aio

from overt.errors import OvertError, Rejected, Retryable
from overt.reasons import Reason

REASON_KEY = "overt-reason"

MAX_DETAILS_CHARACTERS = 500
"""Trailing headers share 8 kB with everything else; a longer message would be lost with its status."""

_Status = grpc.StatusCode

_STATUS_OF: dict[Reason, grpc.StatusCode] = {
    Reason.TOKEN_MISSING: _Status.UNAUTHENTICATED,
    Reason.TOKEN_INVALID: _Status.UNAUTHENTICATED,
    Reason.TOKEN_EXPIRED: _Status.UNAUTHENTICATED,
    Reason.NOT_ALLOWED: _Status.PERMISSION_DENIED,
    Reason.SAME_PERSON: _Status.PERMISSION_DENIED,
    Reason.WRONG_CAMERA: _Status.PERMISSION_DENIED,
    Reason.UNKNOWN_CAMERA: _Status.NOT_FOUND,
    Reason.UNKNOWN_DEPLOYMENT: _Status.NOT_FOUND,
    Reason.UNKNOWN_ENTRY: _Status.NOT_FOUND,
    Reason.UNKNOWN_ALERT: _Status.NOT_FOUND,
    Reason.UNKNOWN_KEY: _Status.NOT_FOUND,
    Reason.CAMERA_BUSY: _Status.FAILED_PRECONDITION,
    Reason.CAMERA_CLOSED: _Status.FAILED_PRECONDITION,
    Reason.WRONG_STATE: _Status.FAILED_PRECONDITION,
    Reason.OUTSIDE_WINDOW: _Status.FAILED_PRECONDITION,
    Reason.CONFLICT: _Status.FAILED_PRECONDITION,
    Reason.EXPIRED: _Status.FAILED_PRECONDITION,
    Reason.LIST_NOT_READY: _Status.FAILED_PRECONDITION,
    Reason.LIST_NOT_SEALED: _Status.FAILED_PRECONDITION,
    Reason.LIST_SEALED: _Status.FAILED_PRECONDITION,
    Reason.LIST_EMPTY: _Status.FAILED_PRECONDITION,
    Reason.LIST_NOT_EMPTY: _Status.FAILED_PRECONDITION,
    Reason.UNCALIBRATED: _Status.FAILED_PRECONDITION,
    Reason.MODEL_MISMATCH: _Status.FAILED_PRECONDITION,
    Reason.DETECT_AWAY: _Status.FAILED_PRECONDITION,
    Reason.MATCH_AWAY: _Status.FAILED_PRECONDITION,
    Reason.DEADLINE: _Status.FAILED_PRECONDITION,
    Reason.EVIDENCE_LOST: _Status.FAILED_PRECONDITION,
    Reason.INTERNAL: _Status.INTERNAL,
}

# For a status that came without a reason: gRPC itself sent it, or a peer that is not ours.
_REASON_OF: dict[grpc.StatusCode, Reason] = {
    _Status.UNAUTHENTICATED: Reason.TOKEN_INVALID,
    _Status.PERMISSION_DENIED: Reason.NOT_ALLOWED,
    _Status.INVALID_ARGUMENT: Reason.BAD_MESSAGE,
    _Status.OUT_OF_RANGE: Reason.BAD_MESSAGE,
    _Status.FAILED_PRECONDITION: Reason.WRONG_STATE,
    _Status.ALREADY_EXISTS: Reason.CONFLICT,
    # The only limit of ours that gRPC enforces is the one on a message's size.
    _Status.RESOURCE_EXHAUSTED: Reason.MESSAGE_TOO_LARGE,
}

_LOST_BY_CLIENT = "Internal error from Core"
"""grpc.aio's own, in place of the peer's status: the peer ended a stream while a message was being written to it.
Measured: half of the refusals of a stream whose caller writes at once."""

# CANCELLED is what a call sees when its peer stops or its channel is closed under it.
_RETRYABLE = frozenset({_Status.UNAVAILABLE, _Status.DEADLINE_EXCEEDED, _Status.CANCELLED, _Status.ABORTED})


CREDENTIALS_REFUSED = frozenset({Reason.TOKEN_MISSING, Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED, Reason.NOT_ALLOWED})
"""On a call of our own they are about us, not about what was asked nor about who asked it of us."""


def status_of(error: Rejected) -> grpc.StatusCode:
    """The status that a rejection is sent as; INVALID_ARGUMENT unless its reason says otherwise."""
    return _STATUS_OF.get(error.reason, _Status.INVALID_ARGUMENT)


def to_overt_error(error: grpc.aio.AioRpcError) -> OvertError:
    """What a caller should do about a failed call: Retryable when the peer is away, late or stopping, or its answer
    was lost; else Rejected with the peer's reason. A peer's defect is Rejected(INTERNAL)."""
    details = (error.details() or error.code().name)[:MAX_DETAILS_CHARACTERS]
    reason = _reason_in(error)
    if reason is None:
        if error.code() in _RETRYABLE or is_lost(error):
            return Retryable(details)
        reason = _REASON_OF.get(error.code(), Reason.INTERNAL)
    return Rejected(reason, details)


def to_peer_error(error: grpc.aio.AioRpcError, peer: str) -> OvertError:
    """`to_overt_error` of a call that a service makes for itself: that `peer` does not take our credentials is no
    answer, and passes when they are renewed or put right. Retryable."""
    meant = to_overt_error(error)
    if isinstance(meant, Rejected) and meant.reason in CREDENTIALS_REFUSED:
        return Retryable(f"{peer} does not take this service's own token ({meant.reason}): OVERT_SERVICE_TOKEN_FILE")
    return meant


def is_lost(error: grpc.aio.AioRpcError) -> bool:
    """Whether the peer's status did not get through. Calling again may bring it."""
    return error.code() is _Status.INTERNAL and error.details() == _LOST_BY_CLIENT


def _reason_in(error: grpc.aio.AioRpcError) -> Reason | None:
    for key, value in error.trailing_metadata() or ():
        if key == REASON_KEY:
            try:
                return Reason(value if isinstance(value, str) else value.decode("ascii", "replace"))
            except ValueError:
                return None  # a newer peer's code: its status will do
    return None
