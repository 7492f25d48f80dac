"""Makes what was removed, and a cohort that was replaced, unreadable: the rest of the list and the cohort in force are
sealed anew under a rotated secret, and the old secret destroyed. Deleting alone would not do: a deleted object's bytes
stay in the store's blocks.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from overt.errors import OvertError, Rejected, Retryable
from overt.reasons import Reason
from overt.telemetry import get_logger

from overt_match.digest import list_digest
from overt_match.domain import Entry, Head, part_generation
from overt_match.ports import ListKeys, ListSecret, Snapshot

_ATTEMPTS = 10
_RETRY_FIRST, _RETRY_MOST = 0.5, 10.0
WAITS_FOR_ERASURE = 5.0
"""Seconds that a caller waits for an erasure before it is answered. It goes on without the caller."""

_SECRET_GONE = frozenset({Reason.WRONG_STATE, Reason.UNKNOWN_DEPLOYMENT, Reason.UNKNOWN_KEY})
"""alerts' word for a deployment that has ended, or never began: every secret of it is destroyed, and what was sealed
under one unreadable. Any other refusal (of our token, of a lost race) says nothing of the kind."""

log = get_logger(__name__)


class Erasure:
    """`run` is a root task: one deployment at a time, again until it is done.

    Cut off anywhere, it is taken up again by the next replica that starts: it asks for it (`want`) once for each
    list, and the head tells what is still to be erased. Two at once do no harm: one loses the head and starts over.
    """

    def __init__(self, *, snapshot: Snapshot, keys: ListKeys) -> None:
        self._snapshot = snapshot
        self._keys = keys
        self._wanted: dict[str, asyncio.Future[int]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def want(self, deployment: str) -> asyncio.Future[int]:
        """Has it done soon. The future is the revision without what was removed; it may be left alone."""
        if deployment not in self._wanted:
            self._wanted[deployment] = asyncio.get_running_loop().create_future()
            self._idle.clear()
            self._wake.set()
        return self._wanted[deployment]

    async def of(self, deployment: str) -> int:
        """Returns when it is done. Cancelling the wait does not stop it."""
        return await asyncio.shield(self.want(deployment))

    async def after(self, deployment: str, head: Head) -> int:
        """What `head`, just announced, leaves to be erased is erased soon. The revision when that is done; that of
        `head` if there is nothing to erase, or if it takes longer than WAITS_FOR_ERASURE: then it goes on."""
        if not head.has_to_erase:
            return head.revision
        try:
            async with asyncio.timeout(WAITS_FOR_ERASURE):
                return await self.of(deployment)
        except TimeoutError:
            log.warning("erasure_goes_on", deployment=deployment)
            return head.revision

    async def idle(self) -> None:
        """Returns when nothing is left to erase."""
        await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled."""
        delay = _RETRY_FIRST
        while True:
            await self._wake.wait()
            self._wake.clear()
            for deployment in list(self._wanted):
                # Out before it begins: what is removed while it ends is asked for anew, and not missed.
                done = self._wanted.pop(deployment)
                try:
                    revision = await self._erase(deployment)
                except OvertError as fault:
                    log.warning("erasure_failed", deployment=deployment, error=fault)
                    self._put_back(deployment, done)
                    continue
                done.set_result(revision)
            if self._wanted:
                asyncio.get_running_loop().call_later(delay, self._wake.set)
                delay = min(2 * delay, _RETRY_MOST)
            else:
                delay = _RETRY_FIRST
                self._idle.set()

    async def destroy(self, deployment: str) -> None:
        """Nothing of the list stays readable or in the store. Its head must say `destroyed` already."""
        found = await self._snapshot.head(deployment)
        if found is None:
            return
        try:
            # Twice: the first may only finish a rotation that was under way, and its new secret has been used.
            for _ in range(2):
                secret = await self._keys.rotate(deployment)
                await self._keys.confirm(deployment, secret.generation)
        except Rejected as refused:
            if refused.reason is Reason.CONFLICT:
                raise Retryable("an erasure of this list is under way; try again") from refused
            if refused.reason not in _SECRET_GONE:
                raise
            log.info("list_secret_gone", deployment=deployment, reason=refused.reason)
        await self._snapshot.discard(deployment, await self._snapshot.names(deployment))

    def _put_back(self, deployment: str, done: asyncio.Future[int]) -> None:
        """Who waits for `done` is told with those who have asked since."""
        again = self._wanted.setdefault(deployment, done)
        if again is not done:
            again.add_done_callback(lambda _: done.set_result(again.result()))

    async def _erase(self, deployment: str) -> int:
        try:
            return await self._without_removed(deployment)
        except Rejected as refused:
            if refused.reason not in _SECRET_GONE:
                raise
            log.info("list_secret_gone", deployment=deployment, reason=refused.reason)
            found = await self._snapshot.head(deployment)
            return found[1].revision if found else 0

    async def _without_removed(self, deployment: str) -> int:
        tainted: set[int] = set()
        for _ in range(_ATTEMPTS):
            found = await self._snapshot.head(deployment)
            replaces, head = found if found else (0, Head(destroyed=True))
            if head.destroyed:
                return head.revision
            await self._confirmed(deployment, head.generation)
            if not head.has_to_erase and head.generation not in tainted:
                return head.revision
            anew = await self._keys.rotate(deployment)
            if any(part_generation(n) == anew.generation for n in await self._snapshot.names(deployment)):
                # Somebody's attempt under the same new secret: it may hold what was removed since.
                tainted.add(anew.generation)
            try:
                rest = await self._sealed_anew(deployment, head, anew)
                if anew.generation not in tainted:
                    rest = replace(rest, erased=len(rest.removed), cohort_to_erase=False)
                await self._snapshot.announce(deployment, rest, replaces)
            except Rejected as fault:
                tainted.add(anew.generation)
                if fault.reason is Reason.CONFLICT or await self._moved(deployment, replaces):
                    continue
                raise
            await self._keys.confirm(deployment, anew.generation)
            old = [n for n in await self._snapshot.names(deployment) if part_generation(n) < anew.generation]
            await self._snapshot.discard(deployment, old)
            log.info("removed_erased", deployment=deployment, revision=rest.revision, list_size=rest.size)
        raise Retryable("others are changing this list")

    async def _sealed_anew(self, deployment: str, head: Head, secret: ListSecret) -> Head:
        """The head of the same list without what was removed, its parts and its cohort written under `secret`."""
        old = await self._keys.secret(deployment, head.generation)
        parts: list[str] = []
        kept: list[Entry] = []
        for name in head.parts:
            batch = (await self._snapshot.read(deployment, name, old)).without(frozenset(head.removed))
            parts += await self._snapshot.write(deployment, batch, secret)
            kept += batch.entries
        cohort = ""
        if head.calibration_part:
            content = await self._snapshot.read_cohort(deployment, head.calibration_part, old)
            cohort = await self._snapshot.write_cohort(deployment, content, secret)
        digest = ""
        if head.sealed:
            calibration = head.calibration_digest
            digest = await asyncio.to_thread(list_digest, deployment, head.model_digest, kept, calibration)
        return replace(
            head,
            revision=head.revision + 1,
            size=len(kept),
            parts=tuple(parts),
            digest=digest,
            generation=secret.generation,
            calibration_part=cohort,
        )

    async def _confirmed(self, deployment: str, generation: int) -> None:
        """If an earlier rotation was cut off after its head, the old secret still lives: it is destroyed now."""
        try:
            await self._keys.confirm(deployment, generation)
        except Rejected as newer:
            # One was cut off before its head: its secret is the one that `rotate` will give again.
            if newer.reason is not Reason.CONFLICT:
                raise

    async def _moved(self, deployment: str, since: int) -> bool:
        found = await self._snapshot.head(deployment)
        return found is None or found[0] != since
