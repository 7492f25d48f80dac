"""Both conservation laws over random interleavings of everything that can happen to frames and tracks.

Virtual time, fake peers, the real life of a frame. After every step the laws hold; at the end nothing is alive,
every frame was answered exactly once, and every picture is gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from overt.errors import Rejected
from overt.ids import Epoch
from overt.ledger import merge
from overt.reasons import Reason
from overt.testing.virtual_time import LoopClock, run_virtually
from overt_ingest.domain.books import Fate
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Analysis, Away, Box, Decision, FoundFace, Probe, Verdict
from overt_ingest.domain.frame import Arrival, Frame
from overt_ingest.frame_life import MOST_AT_ONCE
from overt_ingest.opening import Opening
from overt_ingest.testing import FakeParts, FakePicture

pytestmark = pytest.mark.unit

SPEC = CameraSpec("dep", "cam")
_REFUSALS = ("outside_zone", "blurred", "too_small", "not_better", "nonsense")


@dataclass(frozen=True)
class Push:
    """A frame arrives: usable, or refused at the door for one of the reasons."""

    fault: str = ""


@dataclass(frozen=True)
class PassOver:
    """A frame arrives that nobody decodes; `damaged` if nobody could."""

    damaged: bool


@dataclass(frozen=True)
class Film:
    """A usable frame each 40 ms."""

    frames: int


@dataclass(frozen=True)
class Pass:
    milliseconds: int


@dataclass(frozen=True)
class Spin:
    """The loop turns a few times without time passing: an interleaving in the middle of things."""

    turns: int


@dataclass(frozen=True)
class Do:
    what: str


@dataclass(frozen=True)
class Answer:
    """What detect says of the next frame."""

    what: str
    faces: tuple[tuple[int, str], ...] = ()
    ended: tuple[int, ...] = ()
    takes_ms: int = 0


_TRACK = st.integers(0, 5)
_FACE = st.tuples(_TRACK, st.sampled_from(("shot", "shot", "shot", *_REFUSALS)))
_ANSWERS = st.builds(
    Answer,
    what=st.sampled_from((*["ok"] * 12, "away", "hang", "rejected", "defect")),
    faces=st.lists(_FACE, min_size=1, max_size=4, unique_by=lambda face: face[0]).map(tuple),
    ended=st.lists(_TRACK, max_size=2).map(tuple),
    takes_ms=st.sampled_from((0, 0, 5, 40, 300)),
)
_VERDICTS = st.tuples(
    st.sampled_from(("no_match", "pending", "pending", "agreed", "agreed", "away")),
    st.sampled_from((0, 0, 2, 30, 700)),
)
_STEPS = st.one_of(
    st.builds(Film, st.integers(1, 8)),
    st.builds(Film, st.integers(1, 8)),
    st.builds(Push, st.sampled_from(("", "", "", "", "", "clock", "sequence", "picture"))),
    st.builds(PassOver, st.booleans()),
    st.builds(Pass, st.sampled_from((1, 10, 40, 40, 200, 1100))),
    st.builds(Spin, st.integers(1, 12)),
    st.builds(Do, st.sampled_from(("detect_goes", "detect_comes", "detect_dies", "deliver", "lose", "away", "back"))),
)


@dataclass
class World:
    """One camera with scripted peers."""

    answers: list[Answer]
    verdicts: list[tuple[str, int]]
    studio: list[int] = field(default_factory=list)
    pictures: list[FakePicture] = field(default_factory=list)
    receipts: list[Fate | None] = field(default_factory=list)
    streams: int = 1
    ended: set[tuple[int, int]] = field(default_factory=set)
    """Stream and track: detect never speaks of them again."""
    entered: int = 0
    passed_over: int = 0
    sequence: int = 0
    analysing: int = 0
    judging: Counter[bytes] = field(default_factory=Counter)
    judged_up_to: dict[bytes, datetime] = field(default_factory=dict)

    async def analyse(self, frame: Frame, pending: Sequence[int], settled: Sequence[int]) -> Analysis:
        assert not set(pending) & set(settled)
        assert self.analysing == 0, "one frame at a time"
        self.analysing += 1
        try:
            return await self.answer(self.streams)
        finally:
            self.analysing -= 1

    async def answer(self, stream: int) -> Analysis:
        answer = self.answers.pop(0) if self.answers else Answer("ok")
        await asyncio.sleep(answer.takes_ms / 1e3)
        match answer.what:
            case "away":
                raise Away(Reason.DETECT_AWAY)
            case "hang":
                await asyncio.sleep(2)
                raise Away(Reason.DEADLINE)
            case "rejected":
                return Analysis(rejected="truncated")
            case "defect":
                raise RuntimeError("a defect")
        faces = [
            FoundFace(
                track,
                Box(0, 0, 10, 10),
                template=b"%d/%d" % (stream, track) if kind == "shot" and track else b"",
                refused="" if kind == "shot" else kind,
            )
            for track, kind in answer.faces
            if (stream, track) not in self.ended
        ]
        self.ended.update((stream, track) for track in answer.ended)
        return Analysis(faces=faces, ended_tracks=answer.ended)

    async def judge(self, probes: Sequence[Probe]) -> Verdict:
        assert 1 <= len(probes) <= 8
        (track,) = {probe.template for probe in probes}
        assert self.judging[track] == 0, "shots of a track are judged one after the other"
        before = self.judged_up_to.get(track)
        assert before is None or before <= probes[-1].captured_at, "and in order"
        self.judged_up_to[track] = probes[-1].captured_at
        self.judging[track] += 1
        try:
            return await self.verdict(probes)
        finally:
            self.judging[track] -= 1

    async def verdict(self, probes: Sequence[Probe]) -> Verdict:
        what, takes_ms = self.verdicts.pop(0) if self.verdicts else ("no_match", 0)
        await asyncio.sleep(takes_ms / 1e3)
        if what == "away":
            raise Away(Reason.MATCH_AWAY)
        return Verdict(Decision(what), entry_id="entry", agreeing=range(len(probes)))

    async def develop(self, name: str) -> None:
        """Before pictures are cut out, checked and sealed."""
        step = self.studio.pop(0) if self.studio else 0
        await asyncio.sleep(max(step, 0) / 1e3)
        if step == -2:
            raise RuntimeError("a defect")
        if step < 0:
            raise Rejected(Reason.MESSAGE_TOO_LARGE, "no")

    def take(self, fault: str) -> FakePicture:
        if fault == "picture":
            raise Rejected(Reason.NOT_A_JPEG, "no")
        picture = FakePicture()
        self.pictures.append(picture)
        return picture


async def play(world: World, steps: Sequence[object], ending: str, spin_at_end: int) -> None:
    clock = LoopClock()
    parts = FakeParts(analyse=world.analyse, judge=world.judge)
    parts.outbox.deliver_at_once = False
    parts.darkroom.before_each = world.develop
    opening = Opening(SPEC, epoch=Epoch("e1"), parts=parts, clock=clock)
    camera = opening.camera
    running = asyncio.create_task(opening.run())
    await asyncio.sleep(0.01)
    visit = camera.visit()

    def laws() -> None:
        frames, tracks = camera.frames.snapshot(), camera.track_book.snapshot()
        assert frames.conserved(), frames
        assert tracks.conserved(), tracks
        assert frames.entered == world.entered
        alive = sum(picture.alive for picture in world.pictures)
        assert alive <= frames.in_flight
        assert alive <= MOST_AT_ONCE + 1, "the newest waits"
        assert len(world.receipts) + world.passed_over <= world.entered

    def push(fault: str) -> None:
        world.sequence += 0 if fault == "sequence" and world.sequence else 1
        late = timedelta(seconds=30) if fault == "clock" else timedelta(milliseconds=20)

        def answered(fate: Fate | None, arrival: Arrival) -> None:
            world.receipts.append(fate)

        visit.admit(
            sequence=world.sequence,
            captured_at=clock.now() - late,
            picture=lambda: world.take(fault),
            answer=answered,
        )
        world.entered += 1

    for step in steps:
        match step:
            case Push(fault):
                push(fault)
            case PassOver(damaged):
                reason = Reason.NOT_A_PICTURE if damaged else None
                visit.pass_over(captured_at=clock.now() - timedelta(milliseconds=5), reason=reason)
                world.entered += 1
                world.passed_over += 1
            case Film(frames):
                for _ in range(frames):
                    push("")
                    await asyncio.sleep(0.04)
                    laws()
            case Pass(milliseconds):
                await asyncio.sleep(milliseconds / 1e3)
            case Spin(turns):
                for _ in range(turns):
                    await asyncio.sleep(0)
            case Do("detect_goes"):
                parts.detector.goes()
            case Do("detect_comes"):
                world.streams += 1
                parts.detector.comes()
            case Do("detect_dies"):
                parts.detector.goes()
                parts.detector.dies("d1")
            case Do("deliver"):
                parts.outbox.deliver()
            case Do("lose"):
                parts.outbox.lose()
            case Do("away"):
                parts.receipts.away = True
            case Do("back"):
                parts.receipts.away = False
        laws()

    for _ in range(spin_at_end):
        await asyncio.sleep(0)
    parts.receipts.away = False
    if ending == "cancel":
        running.cancel()
        await asyncio.wait((running,))
    else:
        opening.shut()
        for _ in range(40):
            await asyncio.sleep(0.25)
            laws()
            parts.outbox.deliver()
        assert running.done()
        running.result()
        final = parts.receipts.accounts[-1]
        assert final.final
        assert final.conserved()
        assert merge(parts.receipts.accounts).conserved()
    parts.outbox.lose()
    laws()
    frames, tracks = camera.frames.snapshot(), camera.track_book.snapshot()
    assert frames.in_flight == 0
    assert tracks.in_flight == 0
    assert len(world.receipts) + world.passed_over == world.entered
    assert not any(picture.alive for picture in world.pictures)
    assert tracks.retained == len(set(parts.outbox.stored))
    assert len(set(parts.outbox.stored)) == len(parts.outbox.stored), "one alert a track and entry"
    assert tracks.reasons.get("expired/evidence_lost", 0) >= len(set(parts.outbox.lost) - set(parts.outbox.stored))
    assert frames.retained <= tracks.retained
    assert camera.tracks.faces_seen <= tracks.entered
    for kind in (*frames.reasons, *frames.destroyed):
        event(f"frame {kind}")
    for kind in (*tracks.reasons, *tracks.destroyed, *(["retained"] if tracks.retained else [])):
        event(f"track {kind}")


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(_STEPS, min_size=12, max_size=40),
    answers=st.lists(_ANSWERS, min_size=12, max_size=60),
    verdicts=st.lists(_VERDICTS, min_size=6, max_size=40),
    studio=st.lists(st.sampled_from((0, 0, 15, 90, 400, -1, -2)), max_size=30),
    ending=st.sampled_from(("close", "close", "cancel")),
    spin_at_end=st.integers(0, 20),
)
def test_both_laws_hold_whatever_happens(
    steps: list[object],
    answers: list[Answer],
    verdicts: list[tuple[str, int]],
    studio: list[int],
    ending: str,
    spin_at_end: int,
) -> None:
    run_virtually(play(World(list(answers), list(verdicts), list(studio)), steps, ending, spin_at_end))
