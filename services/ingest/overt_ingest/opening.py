"""One opening of a camera: everything that runs for it, from its first receipt to its final one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from overt.ids import Epoch
from overt.ledger import DeclaredEpoch
from overt.runtime import Clock
from overt.telemetry import get_logger

from overt_ingest.camera import LAST_FRAME_PATIENCE_S, Camera, Visit
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.frame_life import FrameLife
from overt_ingest.ledger_keeping import Credit, LedgerKeeping, LossBook, ReceiptStore
from overt_ingest.ports import Detector, Outbox, Searcher, Studio
from overt_ingest.turns import Turns

log = get_logger(__name__)

FIRST_LINK_PATIENCE_S = 2.0
"""The door opens when detect was reached, or this much later without it."""


class DetectLink(Detector, Protocol):
    """A detector that has to be kept alive."""

    async def run(self, changed: Callable[[], None], died: Callable[[str], None]) -> None:
        """Keeps a stream open until cancelled. `changed` after `current` changed; `died` with an epoch of detect
        that ended without a word."""
        ...


class Parts(Protocol):
    """The concrete parts of a camera; app.py makes them."""

    def link(self, spec: CameraSpec) -> DetectLink: ...

    def searcher(self, spec: CameraSpec) -> Searcher: ...

    def studio(self, spec: CameraSpec) -> Studio: ...

    def source(self, spec: CameraSpec) -> Callable[[Visit], Awaitable[None]]:
        """For a camera that is pulled: feeds the visit until cancelled. It does not leave."""
        ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def receipts(self) -> ReceiptStore: ...

    @property
    def losses(self) -> LossBook: ...

    @property
    def turns(self) -> Turns: ...


class Opening:
    """Run it once. `shut` may be called at any time, from the event loop's thread."""

    def __init__(self, spec: CameraSpec, *, epoch: Epoch, parts: Parts, clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._credit = Credit()
        self.camera = Camera(spec, clock=clock, may_enter=self._credit.may_enter)
        self._ledger = LedgerKeeping(
            self.camera, credit=self._credit, epoch=epoch, store=parts.receipts, losses=parts.losses, clock=clock
        )
        self._link = parts.link(spec)
        self._life = FrameLife(
            camera=spec.camera,
            deployment=spec.deployment,
            detector=self._link,
            searcher=parts.searcher(spec),
            studio=parts.studio(spec),
            outbox=parts.outbox,
            tracks=self.camera.tracks,
            senses=self.camera.senses,
            clock=clock,
        )
        self._linked = asyncio.Event()
        self.accepts = False

    def shut(self) -> None:
        """Let nothing in any more and finish. Idempotent."""
        self.accepts = False
        self.camera.shut()
        self._linked.set()

    async def run(self) -> None:
        """From the first receipt to the final one. However it ends, nothing of the camera is alive after it."""
        camera, spec = self.camera, self.camera.spec
        names = {"deployment": spec.deployment, "camera": spec.camera}
        failure: BaseException | None = None
        try:
            if not await self._first_receipt():
                return
            log.info("camera_opened", **names)
            await self._work()
        except ExceptionGroup as group:
            # A defect. What is known is still written down, and only then is it told.
            failure = group.exceptions[0]
        finally:
            self.shut()
            self._life.close()
        await camera.until_drained()
        await self._ledger.finish()
        log.info("camera_closed", frames=camera.frames.entered, tracks=camera.track_book.entered, **names)
        if failure is not None:
            raise failure

    async def _first_receipt(self) -> bool:
        """False if the camera was to be closed before it was open."""
        self.camera.senses.ledger_away = True
        beginning = asyncio.ensure_future(self._ledger.begin())
        closing = asyncio.ensure_future(self.camera.closing.wait())
        try:
            await asyncio.wait((beginning, closing), return_when=asyncio.FIRST_COMPLETED)
            if not beginning.done():
                return False
            beginning.result()
            return True
        finally:
            closing.cancel()
            beginning.cancel()
            await asyncio.wait((beginning, closing))

    async def _work(self) -> None:
        camera, name = self.camera, f"{self.camera.spec.deployment}/{self.camera.spec.camera}"
        async with asyncio.TaskGroup() as group:
            link = group.create_task(self._link.run(self._link_changed, self._declare), name=f"{name} detect")
            loop = group.create_task(camera.run(self._life, self._parts.turns), name=f"{name} frames")
            ledger = group.create_task(self._ledger.run(), name=f"{name} ledger")
            await self._first_link()
            self.accepts = not camera.closing.is_set()
            source = group.create_task(self._pull(), name=f"{name} source")
            await camera.closing.wait()
            source.cancel()
            await asyncio.wait((loop,), timeout=LAST_FRAME_PATIENCE_S)
            loop.cancel()
            ledger.cancel()
            link.cancel()

    async def _first_link(self) -> None:
        try:
            async with asyncio.timeout(FIRST_LINK_PATIENCE_S):
                while self._link.current is None and not self.camera.closing.is_set():
                    self._linked.clear()
                    await self._linked.wait()
        except TimeoutError:
            self.camera.senses.detect_away = True

    async def _pull(self) -> None:
        if not self.camera.spec.pulls or not self.accepts:
            return
        visit = self.camera.visit()
        try:
            await self._parts.source(self.camera.spec)(visit)
        finally:
            visit.leave()

    def _link_changed(self) -> None:
        self.camera.senses.detect_away = self._link.current is None
        self._linked.set()
        self.camera.wake()

    def _declare(self, epoch: str) -> None:
        self._ledger.declare(DeclaredEpoch("detect", epoch, self._clock.now()))
