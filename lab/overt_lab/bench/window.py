"""A stretch of time, measured at both ends: what was sent, analysed, found and spent in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from overt.telemetry import Metric

from overt_lab.bench.metering import Cpu, Page, cpu_now, read_page
from overt_lab.bench.site import Site
from overt_lab.bench.source import Source
from overt_lab.bench.unread import age_ms, queued
from overt_lab.conditions import cores
from overt_lab.progress import progress

_UNREAD_EVERY_S = 0.25
_OURS = "lab"


@dataclass(frozen=True, slots=True)
class Mark:
    """One end of it."""

    at: float
    cpu: Cpu
    sent: int
    ingest: Page = field(repr=False)
    detect: Page = field(repr=False)


@dataclass(frozen=True, slots=True)
class Window:
    """What happened between two marks. `labels` choose the deployment in ingest's metrics."""

    seconds: float
    began: float
    ended: float
    cpu: Cpu
    sent: int
    ingest: Page = field(repr=False)
    detect: Page = field(repr=False)
    deployment: str
    unread_ms: Sequence[float] = field(repr=False)

    @property
    def analysed(self) -> int:
        """Frames that the detector ran on."""
        return self.ingest.counted(Metric.FRAME_ANALYSED, deployment=self.deployment)

    def fate(self, name: str) -> int:
        """Frames destroyed as that."""
        return self.ingest.counter(Metric.FRAMES_DESTROYED, deployment=self.deployment, fate=name)

    @property
    def tracks(self) -> int:
        """Tracks that ended."""
        return self.ingest.counter(Metric.TRACKS_DESTROYED, deployment=self.deployment)

    def stale_ms(self, part: float) -> float | None:
        """From capture, as ingest has it, to the start of the analysis."""
        return self.ingest.quantile(Metric.FRAME_STALE, part, deployment=self.deployment)

    @property
    def services_cpu(self) -> float:
        """Seconds of all services and nats-server."""
        return self.cpu.together(without=[_OURS])

    @property
    def others_part(self) -> float:
        """Of the machine's processor time: what neither the services nor the lab spent."""
        return max(0.0, self.cpu.machine - self.cpu.together()) / (self.seconds * cores())


async def mark(site: Site, sent: int, *, first: bool) -> Mark:
    """The metrics are read outside of the stretch, so that it does not pay for that."""
    if first:
        pages = [await read_page(site.metrics[name]) for name in ("ingest", "detect")]
    at, cpu = time.monotonic(), cpu_now(site.pids | {_OURS: os.getpid()})
    if not first:
        pages = [await read_page(site.metrics[name]) for name in ("ingest", "detect")]
    return Mark(at, cpu, sent, *pages)


def between(first: Mark, last: Mark, deployment: str, unread_ms: Sequence[float] = ()) -> Window:
    return Window(
        seconds=last.at - first.at,
        began=first.at,
        ended=last.at,
        cpu=last.cpu - first.cpu,
        sent=last.sent - first.sent,
        ingest=last.ingest - first.ingest,
        detect=last.detect - first.detect,
        deployment=deployment,
        unread_ms=unread_ms,
    )


async def passing(seconds: float, label: str) -> None:
    """Lets the time go by, showing how far it is."""
    began = time.monotonic()
    steps = max(1, round(seconds * 2))
    for step in progress(range(1, steps + 1), label=f"{label} ({seconds:.0f} s)", length=steps):
        await asyncio.sleep(max(0.0, began + seconds * step / steps - time.monotonic()))


@asynccontextmanager
async def watching_unread(source: Source) -> AsyncIterator[list[float]]:
    """The ages, ms, of what lies unread of each camera, a few times a second while the body runs."""
    ages: list[float] = []
    task = asyncio.create_task(_watch(source, ages), name="watch what lies unread")
    try:
        yield ages
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(source: Source, ages: list[float]) -> None:
    while True:
        await asyncio.sleep(_UNREAD_EVERY_S)
        found = queued([feed.ports for feed in source.feeds if feed.ports])
        now = asyncio.get_running_loop().time()
        for feed in source.feeds:
            if feed.ports in found:
                ages.append(age_ms(feed.written, found[feed.ports] + feed.unsent(), now))
