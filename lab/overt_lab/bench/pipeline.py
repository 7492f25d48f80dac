"""`overt bench pipeline`: all services, end to end, on a clip that cameras play again and again."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overt.errors import Fatal
from overt.telemetry import Metric

from overt_lab.archive import ListImage
from overt_lab.bench.children import run_child
from overt_lab.bench.footage import Footage, open_footage
from overt_lab.bench.listing import LIST_SIZE, Candidate, Listed, cut_out, peers_of
from overt_lab.bench.people import Face, Person, Seen, people, seen
from overt_lab.bench.recall import camera_name, shown, whole_passes
from overt_lab.bench.site import Arrival, Deployment, Site, site
from overt_lab.bench.source import Source
from overt_lab.bench.stages import decoded
from overt_lab.bench.window import Window, between, mark, passing, watching_unread
from overt_lab.soak import pss_mb

DEPLOYMENT = "bench"
_WARM_UP_PASSES = 2
_PULLED_WITHIN_S = 30.0
_WITNESSED_PASSES, _WITNESSED_S = 4.2, 20.0
"""So many passes of a short clip, of which three or four are whole; of a long one at least one."""
_ONE_PROCESS_S, _ONE_PROCESS_TURNS = 15.0, 3
SATURATED_BELOW = 0.98
"""Of the frames offered: with more analysed than that, the machine could do more."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Measured:
    """Everything that the figures are made of."""

    cameras: int
    footage: Footage
    window: Window
    alerts: Sequence[Arrival]
    ledger: dict[str, Any]
    pss: dict[str, float]
    engine: dict[str, Any]
    held_back: int
    list_size: int
    one_process: dict[str, Any] = field(default_factory=dict)
    peers: list[dict[str, Any]] = field(default_factory=list)
    people_baseline: int = 0
    seen: Seen | None = None
    faces_per_frame: float | None = None

    @property
    def offered(self) -> float:
        """Frames a second, the clip's own only: the flat ones between its passes cost less. So does `analysed`."""
        return self.window.sent * self.footage.own_part / self.window.seconds

    @property
    def analysed(self) -> float:
        return self.window.analysed * self.footage.own_part / self.window.seconds

    @property
    def saturated(self) -> bool:
        return self.window.analysed < SATURATED_BELOW * self.window.sent


async def run(video: Path, cameras: int, seconds: float, *, baseline: bool, anew: bool, say: Say) -> Measured:
    """Fatal, with what to do, if the clip or the machine will not do."""
    with open_footage(video, anew=anew) as footage:
        first = await _peers(footage, templates=baseline)
        pictures = [[Face((f[0], f[1], f[2], f[3]), f[4]) for f in faces] for faces in first["faces"]]
        persons = people(pictures)
        candidates = await asyncio.to_thread(_candidates, footage, persons)
        measured, listed = await _timed(footage, cameras, seconds, candidates, say)
        if not measured.window.analysed:
            raise Fatal("no frame was analysed: this machine was too busy with something else; measure again")
        part = min(1.0, measured.analysed / measured.offered) if measured.saturated else 1.0
        measured.one_process = await one_process(footage, part=part, turns=_turns(footage), listed=listed)
        measured.peers = [first]
        if baseline:
            measured.peers.append(await _peers(footage, templates=True))
        measured.people_baseline = len(persons)
        await _witnessed(footage, cameras, persons, pictures, listed, measured)
    return measured


async def _peers(footage: Footage, *, templates: bool) -> dict[str, Any]:
    what = "what peers do" if templates else "who is in the clip"
    more = () if templates else ("--people",)
    return await run_child("peers", str(footage.path), str(len(footage.packets)), *more, label=what)


async def one_process(footage: Footage, *, part: float, turns: int, listed: Sequence[Listed] = ()) -> dict[str, Any]:
    """See the module one_process."""
    task = {
        "fps": footage.frames_per_second,
        "width": footage.width,
        "height": footage.height,
        "flat": len(footage.cap),
        "part": part,
        "turns": turns,
        "listed": [[float(v) for v in one.template] for one in listed],
    }
    return await run_child("one_process", str(footage.path), label="the same stages in one process", given=task)


def _turns(footage: Footage) -> int:
    return max(1, min(_ONE_PROCESS_TURNS, round(_ONE_PROCESS_S / footage.clip_s)))


def _candidates(footage: Footage, persons: Sequence[Person]) -> list[Candidate]:
    if len(persons) < 2:
        found = "one person was" if persons else "no face was"
        raise Fatal(
            f"{found} found in {footage.path} well enough to be compared: give a clip in which two people walk towards "
            "the camera, their faces 64 pixels high or more"
        )
    frames = (frame.to_ndarray(format="bgr24") for frame in decoded(footage.path))
    return cut_out(persons, frames)


async def _timed(
    footage: Footage, cameras: int, seconds: float, candidates: Sequence[Candidate], say: Say
) -> tuple[Measured, list[Listed]]:
    async with AsyncExitStack() as closing:
        source = Source(footage, cameras)
        await source.start()
        closing.push_async_callback(source.close)
        where = await closing.enter_async_context(site(say=say))
        async with peers_of(where.machine) as peers:
            listed = await peers.two_of(candidates)
            described = await peers.describe()
        deployment = Deployment(where, DEPLOYMENT)
        await open_pulled(deployment, source, [one.image for one in listed])
        say(f"list sealed: {deployment.list_size} on it; cameras: {cameras}")
        async with deployment.watched(), watching_unread(source) as unread:
            await warmed_up(source, where)
            await source.feeds[0].next_pass()
            unread.clear()
            first = await mark(where, source.sent, first=True)
            await passing(seconds, f"{cameras} cameras" if cameras > 1 else "one camera")
            last = await mark(where, source.sent, first=False)
            lying = list(unread)
            pss = {name: round(pss_mb(pid) or 0.0, 1) for name, pid in where.pids.items()}
        ledger = await deployment.end()
        where.check_alive()
        measured = Measured(
            cameras=cameras,
            footage=footage,
            window=between(first, last, DEPLOYMENT, lying),
            alerts=[alert for alert in deployment.alerts if first.at <= alert.at <= last.at],
            ledger=ledger,
            pss=pss,
            engine={"name": described.engine or "onnxruntime", "precision": described.precision},
            held_back=source.held_back,
            list_size=deployment.list_size,
        )
    return measured, listed


async def open_pulled(deployment: Deployment, source: Source, images: Sequence[ListImage]) -> None:
    """A deployment with the source's cameras and a full list."""
    cameras = [
        {"id": camera_name(feed.number), "name": f"Camera {feed.number}", "source_url": source.url(feed.number)}
        for feed in source.feeds
    ]
    await deployment.open(cameras, images, fill_to=LIST_SIZE)


async def warmed_up(source: Source, where: Site) -> None:
    """Every camera is read, and has been through its first passes: caches are full, cameras out of step."""
    deadline = time.monotonic() + _PULLED_WITHIN_S + _WARM_UP_PASSES * source.pass_s
    while any(feed.round < _WARM_UP_PASSES for feed in source.feeds):
        if time.monotonic() > deadline:
            raise Fatal("not every camera was pulled: see the log of ingest")
        where.check_alive()
        await asyncio.sleep(0.1)


async def _witnessed(
    footage: Footage,
    cameras: int,
    persons: Sequence[Person],
    pictures: Sequence[Sequence[Face]],
    listed: Sequence[Listed],
    measured: Measured,
) -> None:
    """The same again, with the witness between ingest and detect: who is seen, not how fast."""
    async with AsyncExitStack() as closing:
        source = Source(footage, cameras)
        await source.start()
        closing.push_async_callback(source.close)
        where = await closing.enter_async_context(site(witnessed=True))
        assert where.witness is not None
        deployment = Deployment(where, DEPLOYMENT)
        await open_pulled(deployment, source, [one.image for one in listed])
        await warmed_up(source, where)
        began = time.time()
        longest = max(_WITNESSED_S, footage.pass_s * (_WITNESSED_PASSES / 2))
        await passing(min(longest, footage.pass_s * _WITNESSED_PASSES), "who is seen")
        ended = time.time()
        await deployment.end()
        where.check_alive()
        passes = whole_passes(source.feeds, began, ended)
        everybody = {place: [face.box for face in faces] for place, faces in enumerate(pictures)}
        notes = where.witness.notes
        measured.seen = seen(persons, shown(notes, source.feeds, everybody), passes)
        counts = [len(note.boxes) for note in notes if began <= note.captured_at <= ended]
        measured.faces_per_frame = statistics.fmean(counts) if counts else None


def shots_templated(window: Window) -> int:
    return window.detect.counter(Metric.DETECT_SHOTS)
