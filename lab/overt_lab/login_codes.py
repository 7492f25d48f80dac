"""One-time codes for the page: whoever can write into the run directory can make one, and the gateway reads the file
at every login."""

from __future__ import annotations

import json
import secrets
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from overt.permissions import Role

from overt_lab.layout import append_private

LIFE = timedelta(minutes=15)


def login_link(gateway_url: str, codes: Path, role: Role) -> str:
    """An address of the page that logs in once, within `LIFE`. Only the code's digest goes into the file `codes`.

    The code is in the fragment, which browsers do not send: it is in no server's log.
    """
    code = secrets.token_urlsafe(18)
    line = {
        "sha256": sha256(code.encode()).hexdigest(),
        "role": str(role),
        "expires": time.time() + LIFE.total_seconds(),
    }
    append_private(codes, json.dumps(line))
    return f"{gateway_url}/#code={code}"
