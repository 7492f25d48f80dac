"""What every error looks like."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from overt_gateway.problems import MEDIA_TYPE


class Fault(BaseModel):
    """One thing that is wrong with the input."""

    where: str
    message: str


class Problem(BaseModel):
    """RFC 9457. `reason` is a stable code; `detail` is for people and may change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:overt:problem:outside_window",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "the window is 2026-05-01T10:00:00+00:00 to 2026-05-01T15:00:00+00:00",
                    "reason": "outside_window",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    reason: str
    faults: list[Fault] | None = None
    correlation: str | None = None


_WHEN = {
    400: "a token or a code in the query string",
    401: "no token, or one that does not hold: `token_missing`, `token_invalid`, `token_expired`",
    403: "the role of the token may not do this: `not_allowed`",
    404: "no such deployment, camera, entry or alert",
    408: "the body stopped arriving: `deadline`",
    409: "not in this state, or changed by somebody else: `wrong_state`, `outside_window`, `conflict`, ...",
    410: "it has expired and its key is destroyed: `expired`",
    412: "If-Match does not name the newest revision: `conflict`",
    413: "the body is larger than is taken here: `message_too_large`",
    422: "not usable as sent; `faults` names everything",
    500: "a defect; opaque but for `correlation`, which the log knows",
    501: "this gateway issues no tokens: `no_issuer`",
    503: "a peer is away for the moment: `unavailable`; see Retry-After",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these, and the ones that any route may give."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _WHEN[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({400, 413, 422, 500, 503, *statuses})
    }
