"""How a Fatal ends the service from anywhere in its event loop, where it would otherwise end one call only."""

from __future__ import annotations

import asyncio

from overt.errors import Fatal


def end_service(error: Fatal) -> None:
    """The service stops as when a root task raises `error`: exit code 2, with its message. Returns at once; what is
    at work is finished or given back as in any stop. In an event loop without a service (a test) it is logged."""
    # `Life` is the loop's exception handler.
    asyncio.get_running_loop().call_exception_handler({"message": "the service cannot go on", "exception": error})


def fatal_in(error: BaseException | None) -> Fatal | None:
    """The Fatal that it is, or that a task group wraps."""
    if isinstance(error, BaseExceptionGroup):
        return next((fatal for inner in error.exceptions if (fatal := fatal_in(inner)) is not None), None)
    return error if isinstance(error, Fatal) else None
