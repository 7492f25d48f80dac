"""One trace goes camera -> ingest -> detect -> match -> alerts across the processes, linked from the delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clips import run_demo
from support.otlp import Receiver, Span

pytestmark = pytest.mark.e2e


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.start()
    yield receiver
    receiver.stop()


async def test_one_trace_from_the_camera_to_the_alert(tmp_path: Path, receiver: Receiver) -> None:
    demo = await asyncio.to_thread(run_demo, tmp_path, "--otlp", receiver.url)
    assert demo.code == 0, demo.output
    traces: dict[str, list[Span]] = {}
    for span in receiver.spans:
        traces.setdefault(span.trace, []).append(span)
    whole = {"camera", "ingest", "detect", "match", "alerts"}
    complete = {trace: spans for trace, spans in traces.items() if whole <= {s.service for s in spans}}
    assert complete, sorted({s.service for s in receiver.spans})
    for spans in complete.values():
        known = {s.span for s in spans}
        orphans = [s.name for s in spans if s.parent and s.parent not in known]
        assert not orphans, "every span hangs on one that is there"
    deliveries = [s for s in receiver.spans if s.service == "gateway" and s.links]
    assert {trace for s in deliveries for trace, _ in s.links} <= set(complete)
    assert deliveries
