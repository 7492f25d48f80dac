"""How late the event loop is: the sign of CPU work in it, or of a machine that is too small."""

from __future__ import annotations

import asyncio

from overt.telemetry import Metric, get_logger, observe

_EVERY_S = 0.25
_WORTH_A_LINE_MS = 1000.0

log = get_logger(__name__)


async def measure_loop_lag() -> None:
    """Until cancelled, measures by how much a timer is late."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        late_ms = max(0.0, loop.time() - due) * 1000
        observe(Metric.LOOP_LAG, late_ms)
        if late_ms > _WORTH_A_LINE_MS:
            log.warning("loop_blocked", took_ms=round(late_ms, 1))
