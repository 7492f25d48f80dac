"""Fakes of the ports, for tests of the life of a frame without a process, a thread or a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from overt.errors import Retryable
from overt.ids import StreamId
from overt.ledger import CameraAccount, DeclaredEpoch, FrameClass, TrackClass
from overt.reasons import Reason

from overt_ingest.camera import Visit
from overt_ingest.domain.books import RETAINED, Fate
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Analysis, Box, FoundFace, Probe, Verdict
from overt_ingest.domain.frame import Frame, Picture
from overt_ingest.domain.sighting import Exhibit, Pictures
from overt_ingest.ports import Finding, SealedEvidence
from overt_ingest.turns import Turns


class FakePicture:
    """Knows whether it still exists."""

    def __init__(self, jpeg: bytes = b"\xff\xd8 a picture") -> None:
        self._jpeg: bytes | None = jpeg

    @property
    def alive(self) -> bool:
        return self._jpeg is not None

    @property
    def size_bytes(self) -> int:
        return len(self._jpeg or b"")

    @property
    def jpeg(self) -> bytes | None:
        return self._jpeg

    @property
    def i420_bytes(self) -> int | None:
        return None

    def i420_into(self, view: memoryview) -> tuple[int, int] | None:
        return None

    def bgr(self) -> NDArray[np.uint8]:
        if self._jpeg is None:
            raise RuntimeError("this picture is destroyed")
        return np.zeros((64, 64, 3), np.uint8)

    def sides(self) -> tuple[int, int]:
        return 64, 64

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        return self.bgr()[top:bottom, left:right]

    def destroy(self) -> None:
        self._jpeg = None


Analyse = Callable[[Frame, Sequence[int], Sequence[int]], Awaitable[Analysis]]
"""(frame, pending tracks, settled tracks) -> analysis"""

Judge = Callable[[Sequence[Probe]], Awaitable[Verdict]]


class FakeStream:
    """Answers with what `script` says; may raise Away."""

    def __init__(self, name: str, script: Analyse) -> None:
        self._name = StreamId(name)
        self._script = script
        self.model_digest = "digest"

    @property
    def stream(self) -> StreamId:
        return self._name

    async def analyse(self, frame: Frame, *, pending: Sequence[int], settled: Sequence[int]) -> Analysis:
        return await self._script(frame, list(pending), list(settled))


class FakeDetector:
    """Here with `comes`, away after `goes`; `run` as long as it is let."""

    def __init__(self, script: Analyse) -> None:
        self._script = script
        self._number = 0
        self._current: FakeStream | None = None
        self._changed: Callable[[], None] = lambda: None
        self._died: Callable[[str], None] = lambda epoch: None
        self.comes()

    @property
    def current(self) -> FakeStream | None:
        return self._current

    def comes(self) -> None:
        """A new stream."""
        self._number += 1
        self._current = FakeStream(f"stream{self._number}", self._script)
        self._changed()

    def goes(self) -> None:
        self._current = None
        self._changed()

    def dies(self, epoch: str) -> None:
        """Its process is another one when it comes back."""
        self._died(epoch)

    async def run(self, changed: Callable[[], None], died: Callable[[str], None]) -> None:
        self._changed, self._died = changed, died
        changed()
        await asyncio.Event().wait()


class FakeSearcher:
    """Answers with what `script` says; may raise Away. Remembers how many probes each search had."""

    def __init__(self, script: Judge) -> None:
        self._script = script
        self.probes: list[int] = []

    async def search(self, model_digest: str, probes: Sequence[Probe]) -> Verdict:
        self.probes.append(len(probes))
        return await self._script(probes)


class FakeStudio:
    """Instant, unless `before_each` step (develop, check, seal) takes its time; keeps the findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.before_each: Callable[[str], Awaitable[None]] | None = None

    async def develop(self, picture: Picture, faces: Sequence[FoundFace], alerted: FoundFace) -> Pictures:
        await self._step("develop")
        picture.bgr()
        return Pictures(b"crop", b"scene", Box(0, 0, 1, 1), Box(0, 0, 1, 1))

    async def check(self, pictures: Pictures) -> Pictures:
        await self._step("check")
        return replace(pictures, checked=True)

    async def seal(self, pictures: Pictures, finding: Finding) -> SealedEvidence:
        await self._step("seal")
        assert pictures.checked
        self.findings.append(finding)
        alert = f"{finding.track}/{finding.verdict.entry_id}"
        return SealedEvidence(alert, alert, "dep", "cam", b"sealed")

    async def _step(self, name: str) -> None:
        self.begun.append(name)
        if self.before_each is not None:
            await self.before_each(name)
        self.ended.append(name)


@dataclass
class FakeOutbox:
    """Keeps what is posted until told what becomes of it."""

    waiting: list[tuple[SealedEvidence, Exhibit]] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    deliver_at_once: bool = True

    def post(self, evidence: SealedEvidence, exhibit: Exhibit) -> None:
        self.waiting.append((evidence, exhibit))
        if self.deliver_at_once:
            self.deliver()

    def deliver(self) -> None:
        """All that wait are stored."""
        while self.waiting:
            evidence, exhibit = self.waiting.pop(0)
            self.stored.append(evidence.alert_id)
            exhibit.close(RETAINED, RETAINED)

    def lose(self) -> None:
        """All that wait have waited too long."""
        while self.waiting:
            evidence, exhibit = self.waiting.pop(0)
            self.lost.append(evidence.alert_id)
            exhibit.close(
                Fate(FrameClass.EXPIRED, Reason.EVIDENCE_LOST), Fate(TrackClass.EXPIRED, Reason.EVIDENCE_LOST)
            )


@dataclass
class FakeReceipts:
    """A record that can be away."""

    accounts: list[CameraAccount] = field(default_factory=list)
    away: bool = False

    async def append(self, account: CameraAccount) -> None:
        if self.away:
            raise Retryable("the record is away")
        self.accounts.append(account)

    async def last_of_every_epoch(self, deployment: str, camera: str) -> AsyncIterator[CameraAccount]:
        if self.away:
            raise Retryable("the record is away")
        newest: dict[str, CameraAccount] = {}
        for account in self.accounts:
            if (account.deployment, account.camera) == (deployment, camera):
                newest[account.epoch] = account
        for account in newest.values():
            yield account


@dataclass
class FakeLosses:
    """What was lost, as the test says."""

    lost: list[DeclaredEpoch] = field(default_factory=list)

    def since(self, moment: datetime) -> list[DeclaredEpoch]:
        return [one for one in self.lost if one.lost_at >= moment]


class FakeParts:
    """What a camera is made of, all fake; one of each for all cameras."""

    def __init__(
        self, *, analyse: Analyse, judge: Judge, feed: Callable[[Visit], Awaitable[None]] | None = None
    ) -> None:
        self.detector = FakeDetector(analyse)
        self.matcher = FakeSearcher(judge)
        self.darkroom = FakeStudio()
        self.outbox = FakeOutbox()
        self.receipts = FakeReceipts()
        self.losses = FakeLosses()
        self.turns = Turns()
        self._feed = feed

    def link(self, spec: CameraSpec) -> FakeDetector:
        return self.detector

    def searcher(self, spec: CameraSpec) -> FakeSearcher:
        return self.matcher

    def studio(self, spec: CameraSpec) -> FakeStudio:
        return self.darkroom

    def source(self, spec: CameraSpec) -> Callable[[Visit], Awaitable[None]]:
        assert self._feed is not None
        return self._feed
