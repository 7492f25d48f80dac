"""What a service is to the runtime. The order of the calls is the contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol


class ServiceApp(Protocol):
    """Built by a service's `build(settings)` inside the running event loop, where building connects to nothing.

    Called in this order, each at most once: start, tasks, open; refuse_new, finish, close. `refuse_new` and
    `finish` are left out when `open` did not return. `close` is always called, also after a `start` that failed
    or was cancelled half-way, so it must cope with whatever is there.
    """

    async def start(self) -> None:
        """Connect (with `retry`, so bounded), load, warm up. The door is still closed.

        Cancelled when the process is told to stop meanwhile.
        """
        ...

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Root tasks by name, started after `start` and before `open`, cancelled after `finish` and before `close`.

        They are to run as long as the service does: the end of any of them, even a clean one, stops the service
        with exit code 1 (Fatal: 2), unless the stop has begun.
        """
        ...

    async def open(self) -> str:
        """Accept work and report health as SERVING. Returns the bound address, the port resolved.

        A web server that runs as a root task is waited for here.
        """
        ...

    async def refuse_new(self) -> None:
        """Report NOT_SERVING and accept no more. What was accepted goes on."""
        ...

    async def finish(self) -> None:
        """Return when what was accepted is done. Cancelled at the drain deadline."""
        ...

    async def close(self) -> None:
        """Give back what is not done (nak), drain the bus, close stores and clients."""
        ...
