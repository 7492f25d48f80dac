"""`overt bench overload`: what happens to delays when four times as many frames come as the machine can analyse."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.errors import Fatal
from overt.permissions import Role

from overt_lab.bench.fifo import simulate
from overt_lab.bench.figures import BUSY, BUSY_ADVICE
from overt_lab.bench.footage import Footage, open_footage
from overt_lab.bench.listing import LIST_SIZE
from overt_lab.bench.pipeline import SATURATED_BELOW, one_process, open_pulled, warmed_up
from overt_lab.bench.pushing import PushedCamera, jpegs, playing
from overt_lab.bench.recall import camera_name
from overt_lab.bench.site import Deployment, Site, site
from overt_lab.bench.source import Source
from overt_lab.bench.window import Window, between, mark, passing, watching_unread
from overt_lab.conditions import conditions, cores
from overt_lab.figures import percentiles

TIMES = 4
_FIRST_OFFER = 2.0
"""Times what one process does, on every core: enough to saturate the services."""
_TRIES = 3
_MOST_CAMERAS = 60  # a deployment has at most 64
_SETTLE_S = 2.0
FIFO = "simulated: a queue, first come first served, at the measured capacity, with the service times of one process"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Offer:
    """One mode under load. `offered` counts what cameras wanted to send, `held_back` what could not be taken from
    them."""

    cameras: int
    window: Window
    held_back: int

    @property
    def offered_fps(self) -> float:
        return self.window.sent / self.window.seconds

    @property
    def analysed_fps(self) -> float:
        return self.window.analysed / self.window.seconds

    def stale_ms(self, part: float) -> float | None:
        """Capture to start of analysis. For a pulled camera capture is when the source sent it: to what ingest tells
        is added what lay unread in its socket, percentile to percentile, which errs towards later."""
        stale = self.window.stale_ms(part)
        unread = percentiles(list(self.window.unread_ms), round(part * 100))[f"p{round(part * 100)}"]
        return None if stale is None else stale + (unread or 0.0)


async def run(video: Path, seconds: float, *, anew: bool, say: Say) -> dict[str, Any]:
    """The figures. Fatal, with what to do, if the clip or the machine will not do."""
    with open_footage(video, anew=anew) as footage:
        one = await one_process(footage, part=1.0, turns=1)
        async with site(say=say) as where:
            at_capacity = await _saturated(where, footage, seconds, one["fps"] * cores(), say)
            capacity = at_capacity.analysed_fps
            say(f"capacity: {capacity:.1f} frames/s; now {TIMES} times that")
            pull = await _pulled(where, footage, "pull", _cameras(TIMES * capacity, _rate(footage)), seconds)
            push = await _pushed(where, footage, _cameras(TIMES * capacity, footage.frames_per_second), seconds)
    return figures(footage, capacity, {"pull": pull, "push": push}, one["took_ms"])


def _rate(footage: Footage) -> float:
    """Of a pulled camera, its silences included."""
    return len(footage.packets) / footage.pass_s


def _cameras(frames_per_second: float, each: float) -> int:
    return min(_MOST_CAMERAS, max(1, math.ceil(frames_per_second / each)))


async def _saturated(where: Site, footage: Footage, seconds: float, estimate: float, say: Say) -> Offer:
    """Pulled, with more and more cameras until not every frame is analysed."""
    cameras = max(2, _cameras(_FIRST_OFFER * estimate, _rate(footage)))
    for number in range(_TRIES):
        offer = await _pulled(where, footage, f"capacity-{number}", cameras, seconds)
        if offer.analysed_fps < SATURATED_BELOW * offer.offered_fps or cameras == _MOST_CAMERAS:
            break
        say(f"{cameras} cameras are all analysed: trying twice as many")
        cameras = min(_MOST_CAMERAS, 2 * cameras)
    if not offer.window.analysed:
        raise Fatal("no frame was analysed at all: see the logs, or give a clip that this machine can decode")
    return offer


async def _pulled(where: Site, footage: Footage, name: str, cameras: int, seconds: float) -> Offer:
    async with AsyncExitStack() as closing:
        source = Source(footage, cameras)
        await source.start()
        closing.push_async_callback(source.close)
        deployment = Deployment(where, name)
        await open_pulled(deployment, source, [])
        async with watching_unread(source) as unread:
            await warmed_up(source, where)
            unread.clear()
            first, held_back = await mark(where, source.offered, first=True), source.held_back
            await passing(seconds, f"{name}: {cameras} cameras")
            last = await mark(where, source.offered, first=False)
            window = between(first, last, name, list(unread))
        await deployment.end()
        where.check_alive()
        return Offer(cameras, window, source.held_back - held_back)


async def _pushed(where: Site, footage: Footage, count: int, seconds: float) -> Offer:
    pictures = await asyncio.to_thread(jpegs, footage)
    deployment = Deployment(where, "push")
    names = [camera_name(number) for number in range(count)]
    await deployment.open([{"id": name, "name": name} for name in names], [], fill_to=LIST_SIZE)
    async with where.role(Role.ADMINISTRATOR) as administrator:
        tokens = [await administrator.camera_token("push", name) for name in names]
    address = where.machine.camera_address
    cameras = [PushedCamera(address, token, "push", name) for name, token in zip(names, tokens, strict=True)]
    async with playing(cameras, pictures, footage.frames_per_second) as pushing:
        await asyncio.sleep(_SETTLE_S)
        first = await mark(where, sum(c.due for c in cameras), first=True)
        held_back = sum(c.held_back for c in cameras)
        await passing(seconds, f"push: {count} cameras")
        last = await mark(where, sum(c.due for c in cameras), first=False)
        held_back = sum(c.held_back for c in cameras) - held_back
        if pushing.done():
            raise Fatal("a camera was let in no more while it pushed: see the log of ingest")
    await deployment.end()
    where.check_alive()
    return Offer(count, between(first, last, "push"), held_back)


def figures(footage: Footage, capacity: float, offers: Mapping[str, Offer], took_ms: list[float]) -> dict[str, Any]:
    """The JSON, under the names that the measures fix. The top ones are those of the mode that is later."""
    modes = {name: _mode(offer) for name, offer in offers.items()}
    worst = max(modes.values(), key=lambda mode: mode["staleness_ms"]["p99"] or 0.0)
    seconds = statistics.fmean(offer.window.seconds for offer in offers.values())
    queued = simulate(
        offered_fps=TIMES * capacity, capacity_fps=capacity, seconds=seconds, workers=cores(), took_ms=took_ms
    )
    return {
        **conditions(),
        "clip": str(footage),
        "seconds": round(seconds, 1),
        "capacity_fps": round(capacity, 2),
        "offered_fps": worst["offered_fps"],
        "staleness_ms": worst["staleness_ms"],
        "superseded": worst["superseded"],
        "fifo": {
            "what": FIFO,
            "capacity_fps": round(capacity, 2),
            "offered_fps": round(TIMES * capacity, 2),
            "staleness_ms": percentiles(queued.stale_ms, 50, 99),
            "superseded": 0,
            "waiting": queued.waiting,
        },
        **modes,
        "busy_with_others": round(max(offer.window.others_part for offer in offers.values()), 3),
    }


def _mode(offer: Offer) -> dict[str, Any]:
    window = offer.window
    return {
        "cameras": offer.cameras,
        "offered_fps": round(offer.offered_fps, 2),
        "analysed_fps": round(offer.analysed_fps, 2),
        "staleness_ms": {f"p{round(part * 100)}": _one_digit(offer.stale_ms(part)) for part in (0.5, 0.99)},
        "superseded": window.fate("superseded"),
        "unread_ms": percentiles(list(window.unread_ms), 50, 99),
        "held_back": offer.held_back,
    }


def _one_digit(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    return "\n".join(_lines(found))


def _lines(f: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{f['clip']}, {f['seconds']:.0f} s a mode, {f['cores']} cores, commit {f['commit'] or 'unknown'}"
    yield f"capacity: {f['capacity_fps']} frames/s"
    yield ""
    yield f"{'':<8}{'offered/s':>10}{'superseded':>12}{'p50 ms':>10}{'p99 ms':>10}   capture to start of analysis"
    for name in ("pull", "push", "fifo"):
        mode = f[name]
        late = [mode["staleness_ms"][p] for p in ("p50", "p99")]
        shown = "".join(f"{'-' if value is None else value:>10}" for value in late)
        yield f"{name:<8}{mode['offered_fps']:>10}{mode['superseded']:>12}{shown}"
    yield f"fifo is {FIFO}; {f['fifo']['waiting']} frames wait in it at the end"
    if f["busy_with_others"] >= BUSY:
        yield BUSY_ADVICE.format(part=f["busy_with_others"])
