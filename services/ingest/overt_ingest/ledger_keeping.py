"""Writes down what became of everything, often enough that a crash leaves little unsaid.

A receipt goes out when the camera opens, each minute, after every RECEIPT_FRAMES frames, and, final, when it is
closed and drained. No more than MAY_FOLLOW frames enter after the last receipt that is safely stored. So of a
life that ends by kill -9, at most MAY_FOLLOW frames, and what was in flight in its last receipt, are unknown,
however fast they came and however long nobody noticed. A bound by the clock (rate x time since the last
receipt) would grow with the downtime and would trust a rate that nobody enforces.

At 25 frames a second that is a receipt every 10 s, about 970 bytes. It counts from the opening on, so the stream
keeps the newest of each opening only. With the bus away, frames are destroyed unanalysed for 40 s; then none is let
in until receipts can be stored again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from overt.errors import Retryable
from overt.ids import Epoch
from overt.ledger import CameraAccount, DeclaredEpoch
from overt.runtime import Clock
from overt.telemetry import get_logger

from overt_ingest.camera import Camera

log = get_logger(__name__)

RECEIPT_EVERY = timedelta(seconds=60)
RECEIPT_FRAMES = 250
MAY_FOLLOW = 1000

_AGAIN_FIRST_S = 0.2
_AGAIN_MOST_S = 2.0


class ReceiptStore(Protocol):
    """The record of one deployment. Retryable while it is away."""

    async def append(self, account: CameraAccount) -> None:
        """Stored when it returns."""
        ...

    def last_of_every_epoch(self, deployment: str, camera: str) -> AsyncIterator[CameraAccount]: ...


class LossBook(Protocol):
    """Lives of other services that ended without a word."""

    def since(self, moment: datetime) -> Sequence[DeclaredEpoch]: ...


class Credit:
    """How many frames may enter before the next receipt is stored. Nothing enters before the first."""

    def __init__(self) -> None:
        self._stored: int | None = None
        self.due = asyncio.Event()

    def may_enter(self, entered: int) -> bool:
        """Whether one more may, after `entered`."""
        if self._stored is None:
            return False
        if entered + 1 - self._stored >= RECEIPT_FRAMES:
            self.due.set()
        return entered - self._stored < MAY_FOLLOW

    def stored(self, entered: int) -> None:
        self._stored = entered


class LedgerKeeping:
    """The receipts of one opening of one camera."""

    def __init__(
        self,
        camera: Camera,
        *,
        credit: Credit,
        epoch: Epoch,
        store: ReceiptStore,
        losses: LossBook,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._credit = credit
        self._epoch = epoch
        self._store = store
        self._losses = losses
        self._clock = clock
        self._number = 0
        self._began_at: datetime = clock.now()
        self._first_began_at = self._began_at
        self._declared: list[DeclaredEpoch] = []

    def declare(self, lost: DeclaredEpoch) -> None:
        """Stands in every receipt from now on; the next one is due at once."""
        self._declared.append(lost)
        self._credit.due.set()

    def account(self, *, final: bool = False) -> CameraAccount:
        """The books as they are now."""
        camera = self._camera
        return CameraAccount(
            deployment=camera.spec.deployment,
            camera=camera.spec.camera,
            epoch=self._epoch,
            number=self._number,
            began_at=self._began_at,
            until=self._clock.now(),
            frames=camera.frames.snapshot(),
            tracks=camera.track_book.snapshot(),
            lived=camera.lived.snapshot(),
            faces_seen=camera.tracks.faces_seen,
            # From the camera's first opening on: what was lost while ingest was away is told by its next life.
            declared=(*self._declared, *self._losses.since(self._first_began_at)),
            final=final,
            may_follow=0 if final else MAY_FOLLOW,
        )

    async def begin(self) -> None:
        """Declares lives that ended without a word and stores the first receipt. Until it returns, nothing enters."""
        while True:
            try:
                self._declared = await self._lost_lives()
                break
            except Retryable as error:
                await self._trouble(error, _AGAIN_FIRST_S)
        await self._store_until_stored()

    async def run(self) -> None:
        """Receipts, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(RECEIPT_EVERY.total_seconds()):
                    await self._credit.due.wait()
            except TimeoutError:
                pass
            await self._store_until_stored()

    async def finish(self) -> None:
        """The final receipt. Call it when the camera is drained and `run` has ended."""
        await self._store_until_stored(final=True)

    async def _lost_lives(self) -> list[DeclaredEpoch]:
        spec = self._camera.spec
        lives = [account async for account in self._store.last_of_every_epoch(spec.deployment, spec.camera)]
        self._first_began_at = min((self._began_at, *(life.began_at for life in lives)))
        known = {lost.epoch for account in lives for lost in account.declared}
        return [life.declare_lost() for life in lives if not life.final and life.epoch not in known]

    async def _store_until_stored(self, *, final: bool = False) -> None:
        pause = _AGAIN_FIRST_S
        while True:
            self._credit.due.clear()
            account = self.account(final=final)
            self._number += 1
            if not account.conserved():
                log.error("books_do_not_balance", deployment=account.deployment, camera=account.camera)
            try:
                await self._store.append(account)
            except Retryable as error:
                await self._trouble(error, pause)
                pause = min(_AGAIN_MOST_S, pause * 2)
                continue
            self._credit.stored(account.frames.entered)
            self._camera.senses.ledger_away = False
            return

    async def _trouble(self, error: Retryable, pause: float) -> None:
        spec = self._camera.spec
        log.warning("ledger_away", deployment=spec.deployment, camera=spec.camera, error=error)
        await asyncio.sleep(pause)
