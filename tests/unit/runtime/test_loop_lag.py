"""The event loop's lag is measured, and a blocked loop is told."""

from __future__ import annotations

import asyncio
import time

import pytest
from overt.runtime.lag import measure_loop_lag
from overt.telemetry import Metric
from overt.testing.telemetry import recorded_telemetry

pytestmark = pytest.mark.unit


async def test_a_blocked_loop_is_measured_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with recorded_telemetry() as recorded:
        task = asyncio.create_task(measure_loop_lag())
        await asyncio.sleep(0.01)
        time.sleep(1.4)  # noqa: ASYNC251 - just what must not happen
        async with asyncio.timeout(5):
            while not recorded.value(Metric.LOOP_LAG):  # noqa: ASYNC110 - a metric sets no event
                await asyncio.sleep(0.01)
        task.cancel()
    (told,) = [r.overt_fields for r in caplog.records if r.msg == "loop_blocked"]  # type: ignore[attr-defined]
    assert told["took_ms"] > 1000
