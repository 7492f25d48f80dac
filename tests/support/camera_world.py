"""One open camera in virtual time with scripted peers, for the tests of the frame's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from overt.ids import Epoch
from overt.ledger import Book
from overt.testing.virtual_time import LoopClock, run_virtually
from overt_ingest.camera import Visit
from overt_ingest.domain.books import Fate
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Analysis, Away, Box, Decision, FoundFace, Probe, Verdict
from overt_ingest.domain.frame import Arrival, Frame
from overt_ingest.opening import Opening
from overt_ingest.testing import FakeParts, FakePicture


def shot(track: int) -> FoundFace:
    return FoundFace(track, Box(0, 0, 10, 10), template=b"t")


NOBODY = Analysis()


@dataclass
class Set:
    """One open camera and its scripted peers: analyses and verdicts are given in order, the last one for ever."""

    analyses: list[Analysis | Exception] = field(default_factory=lambda: [NOBODY])
    verdicts: list[Decision | Verdict | Away] = field(default_factory=lambda: [Decision.NO_MATCH])
    detect_takes: float = 0.0
    match_takes: float = 0.0
    asked: list[tuple[int, list[int], list[int]]] = field(default_factory=list)
    receipts: list[tuple[int, Fate | None]] = field(default_factory=list)
    receipt_at: dict[int, float] = field(default_factory=dict)
    """The monotonic clock, by sequence."""
    pictures: list[FakePicture] = field(default_factory=list)
    clock: LoopClock = field(default_factory=LoopClock)
    sequence: int = 0

    async def analyse(self, frame: Frame, pending: Sequence[int], settled: Sequence[int]) -> Analysis:
        self.asked.append((frame.sequence, list(pending), list(settled)))
        said = self.analyses.pop(0) if len(self.analyses) > 1 else self.analyses[0]
        await asyncio.sleep(self.detect_takes)
        if isinstance(said, Exception):
            raise said
        return said

    async def judge(self, probes: Sequence[Probe]) -> Verdict:
        said = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        await asyncio.sleep(self.match_takes)
        if isinstance(said, Away):
            raise said
        if isinstance(said, Verdict):
            return said
        return Verdict(said, entry_id="entry", score=0.6, agreeing=range(len(probes)))

    @asynccontextmanager
    async def camera(self) -> AsyncIterator[Opening]:
        self.parts = FakeParts(analyse=self.analyse, judge=self.judge)
        opening = Opening(CameraSpec("dep", "cam"), epoch=Epoch("e1"), parts=self.parts, clock=self.clock)
        running = asyncio.create_task(opening.run())
        await asyncio.sleep(0.01)
        self.visit: Visit = opening.camera.visit()
        yield opening
        opening.shut()
        await running
        self.frames: Book = opening.camera.frames.snapshot()
        self.tracks: Book = opening.camera.track_book.snapshot()
        assert self.frames.conserved()
        assert self.tracks.conserved()
        assert self.frames.in_flight == self.tracks.in_flight == 0
        assert not any(picture.alive for picture in self.pictures)
        assert sorted(sequence for sequence, _ in self.receipts) == list(range(1, self.sequence + 1))

    async def push(self, count: int = 1, *, every: float = 0.04, late: float = 0.02) -> None:
        for _ in range(count):
            number, picture = self.sequence + 1, FakePicture()

            def answered(fate: Fate | None, arrival: Arrival, number: int = number) -> None:
                self.receipts.append((number, fate))
                self.receipt_at[number] = self.clock.monotonic()

            self.visit.admit(
                sequence=number,
                captured_at=self.clock.now() - timedelta(seconds=late),
                picture=lambda taken=picture: taken,
                answer=answered,
            )
            self.sequence = number
            self.pictures.append(picture)
            await asyncio.sleep(every)


def scene(play: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtually(play())  # type: ignore[arg-type]  # an async def

    run.__name__ = play.__name__
    run.__doc__ = play.__doc__
    return run
