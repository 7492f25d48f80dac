"""The entry point of every service's process."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from overt import telemetry
from overt.errors import Fatal
from overt.runtime import hard_exit
from overt.runtime.app import ServiceApp
from overt.runtime.life import REFUSED, End, Life
from overt.settings import ServiceSettings, load
from overt.swap import swap_is_on

S = TypeVar("S", bound=ServiceSettings)

_SWITCH_S = 0.0005
"""How long a thread may go on in Python while another waits for its turn; Python's own 5 ms add up: a picture's way
through a decoder, numpy and a network takes dozens of turns, and each time an event loop has to wait as well."""


def main(name: str, settings: type[S], build: Callable[[S], ServiceApp]) -> NoReturn:
    """Runs a service until SIGTERM, SIGINT or the end of one of its root tasks, and exits.

    Exit codes: 0 stopped as told; 1 something broke, the log says what; 2 Fatal, stderr says what to put right;
    3 the hard exit had to end it. SIGTERM before the settings are read ends it as it ends any process.
    """
    # A core dump would hold frames and keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setswitchinterval(_SWITCH_S)
    try:
        given = load(settings)
        telemetry.configure(name, given)
    except Fatal as error:
        _refuse(name, error)
    if swap_is_on():
        # Frames and keys live in memory, and a page of it may now be written to a disk: docs/operations/deploy.md.
        telemetry.get_logger(__name__).warning("swap_is_on")
    try:
        # debug=False whatever PYTHONASYNCIODEBUG says: it logs the repr of what tasks hold.
        end = asyncio.run(_live(name, given, build), debug=False)
    finally:
        telemetry.shutdown()
    if end.fatal is not None:
        _refuse(name, end.fatal)
    sys.exit(end.exit_code)


async def _live(name: str, settings: S, build: Callable[[S], ServiceApp]) -> End:
    return await Life(name, settings, lambda: build(settings), arm_hard_exit=hard_exit.arm).run()


def _refuse(name: str, error: Fatal) -> NoReturn:
    print(f"overt-{name}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - for people, not for the log
    sys.exit(REFUSED)
