"""Where the gateway is, and a token to speak to it: what every verb that goes through REST begins with."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from overt.auth import TokenIssuer
from overt.errors import Fatal
from overt.permissions import Role

from overt_lab.running import find_running, state_home


def url_option(role: Role) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--url`, which needs a token of that role."""
    return click.option(
        "--url",
        default=None,
        metavar="URL",
        help=f"The gateway, http://HOST:PORT; with a token of role {role.value} in OVERT_TOKEN.  [default: overt up's]",
    )


def reach(url: str | None, data: Path | None, role: Role) -> tuple[str, str]:
    """The gateway's URL and a token of that role: what was said, or those of the system that runs on this machine.
    Fatal, with what to do, if there is none."""
    token = os.environ.get("OVERT_TOKEN")
    if url:
        if not token:
            raise Fatal(f"--url needs a token of role {role.value} in the environment variable OVERT_TOKEN")
        return url, token
    running = find_running(data or state_home())
    issuer = TokenIssuer(running.layout.issuer_key.read_bytes())
    return running.gateway_url, token or issuer.issue(role, subject=role.value, lifetime=timedelta(hours=1))
