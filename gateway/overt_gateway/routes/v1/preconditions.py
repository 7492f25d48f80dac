"""ETag and If-Match: the revision of a deployment in the store."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header
from overt.errors import Rejected
from overt.reasons import Reason
from starlette.responses import Response

from overt_gateway.ports import Versioned

_ETAG = re.compile(r'"([0-9]{1,19})"')


def _expected(
    if_match: Annotated[
        str | None, Header(description="the ETag that was seen; 412 if it has changed since", max_length=64)
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Rejected(Reason.BAD_FIELD, 'If-Match is one ETag as it was given, with its quotes: "7"')
    return int(found[1])


Expected = Annotated[int | None, Depends(_expected)]


def tag(response: Response, stored: Versioned) -> None:
    """Puts the ETag on an answer."""
    response.headers["ETag"] = f'"{stored.revision}"'
