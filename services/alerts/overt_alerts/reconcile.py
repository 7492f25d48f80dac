"""Makes what is there match what the control plane wants: consumers, shelves, and the end of lists.

live    its shelf is filled, its evidence consumed
ended   list secrets destroyed, the list's object store purged and deleted; otherwise as live: late evidence and open
        alerts live on. Once no more evidence can arrive, the private sealing key is destroyed
purged  every key destroyed, the streams of evidence and alerts purged and deleted. The ledger stays

Keys go first, for that needs nothing but the keyring. Every step can be repeated, so a restart in the middle goes on
by doing it all again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from overt.bus import Bus, Change, Subscription, Watch
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime.clock import Clock
from overt.runtime.waiting import set_within
from overt.subjects import ALERT, DEPLOYMENTS, EVIDENCE, Service
from overt.telemetry import SpanName, get_logger, span

from overt_alerts.adapters.wire import Phase, Wanted, wanted
from overt_alerts.custody import Custody
from overt_alerts.deployments import Deployments
from overt_alerts.intake import Intake
from overt_alerts.recovery import Recovery
from overt_alerts.shelf import Board, Shelf

log = get_logger(__name__)

DEFAULT_LINGER = timedelta(minutes=10)
"""How long after its end a deployment's evidence can still be opened. Ingest holds what it sealed for at most 60 s."""
RETRY_FIRST = timedelta(seconds=0.2)
RETRY_MOST = timedelta(seconds=10)


class Reconciler:
    """`begin()` once, then `run()` as a root task; `close()` ends the consumers."""

    def __init__(
        self,
        *,
        bus: Bus,
        board: Board,
        custody: Custody,
        deployments: Deployments,
        intake: Intake,
        recovery: Recovery,
        clock: Clock,
        linger: timedelta = DEFAULT_LINGER,
    ) -> None:
        self._bus = bus
        self._board = board
        self._custody = custody
        self._deployments = deployments
        self._intake = intake
        self._recovery = recovery
        self._clock = clock
        self._linger = linger
        self._watch: Watch | None = None
        self._wanted: dict[str, Wanted] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._consumers: dict[str, Subscription] = {}
        self._end_seen: dict[str, float] = {}
        self._closed = False

    async def begin(self) -> None:
        """Reads the bucket and settles every deployment once; what fails here is tried again by `run`."""
        self._watch = self._bus.bucket(DEPLOYMENTS).watch()
        async for change in self._watch:
            if change.is_marker:
                break
            self._note(change)
        for deployment, what in self._wanted.items():
            try:
                await self.settle(what)
            except (Retryable, Rejected) as error:
                log.warning("reconcile_delayed", deployment=deployment, error=error)

    async def run(self) -> None:
        """Never returns. One task a deployment, so that one in trouble does not hold up the others."""
        assert self._watch is not None, "begin() first"
        async with asyncio.TaskGroup() as tasks:
            for deployment in self._wanted:
                tasks.create_task(self._follow(deployment), name=f"reconcile {deployment}")
            async for change in self._watch:
                if (fresh := self._note(change)) is not None:
                    tasks.create_task(self._follow(fresh), name=f"reconcile {fresh}")

    async def close(self) -> None:
        """Returns when the evidence at work is finished. Idempotent."""
        self._closed = True
        if self._watch is not None:
            await self._watch.aclose()
        for deployment in tuple(self._consumers):
            await self._consumers.pop(deployment).close()

    async def shelf(self, deployment: str) -> Shelf:
        """Filled. Rejected(UNKNOWN_DEPLOYMENT) if there is none, or nothing is left of it."""
        if (there := self._board.get(deployment)) is not None:
            return there
        what = await self._deployments.wanted(deployment)
        if what is None or what.phase is Phase.PURGED:
            raise Rejected(Reason.UNKNOWN_DEPLOYMENT, "there is no such deployment")
        await self.settle(what)  # the watch has not got to it yet
        if (there := self._board.get(deployment)) is None:
            raise Retryable("this deployment is being closed")
        return there

    async def settle(self, what: Wanted) -> None:
        """Makes it so, from whatever state. Retryable when something it needs is away."""
        async with self._deployments.lock(what.deployment):
            what = self._deployments.note(what)
            with span(SpanName.RECONCILE, deployment=what.deployment, state=what.phase):
                if what.phase is Phase.PURGED:
                    await self._purge(what.deployment)
                    return
                if what.phase is Phase.ENDED:
                    await self._end_list(what.deployment)
                await self._open(what)

    async def retire(self, deployment: str) -> timedelta | None:
        """Destroys an ended deployment's private sealing key once nothing can need it; None then, else how long
        to wait before asking again."""
        since = self._end_seen.setdefault(deployment, self._clock.monotonic())
        left = self._linger - timedelta(seconds=self._clock.monotonic() - since)
        if left > timedelta(0):
            return left
        try:
            async with asyncio.timeout(RETRY_MOST.total_seconds()):
                async for _ in self._bus.latest(EVIDENCE, deployment):
                    return RETRY_MOST  # evidence that waits to be taken in
        except TimeoutError:
            return RETRY_MOST
        async with self._deployments.lock(deployment):
            await self._custody.destroy_sealing_key(deployment)
        return None

    def _note(self, change: Change) -> str | None:
        """Takes a change in; the deployment's id when it is a new one. What cannot be read is told and left."""
        if change.value is None or change.is_marker:
            return None
        try:
            self._wanted[change.key] = wanted(change.key, change.value)
        except Rejected as error:
            log.error("deployment_unreadable", reason=error.reason, revision=change.revision)
            return None
        if (news := self._news.get(change.key)) is not None:
            news.set()
            return None
        self._news[change.key] = asyncio.Event()
        return change.key

    async def _follow(self, deployment: str) -> None:
        news, trouble = self._news[deployment], RETRY_FIRST
        while True:
            news.clear()
            what = self._wanted[deployment]
            again: timedelta | None = None
            try:
                await self.settle(what)
                if what.phase is Phase.ENDED:
                    again = await self.retire(deployment)
                trouble = RETRY_FIRST
            except Retryable as error:
                log.warning("reconcile_delayed", deployment=deployment, error=error)
                again, trouble = trouble, min(trouble * 2, RETRY_MOST)
            except Rejected as error:
                log.error("reconcile_refused", deployment=deployment, reason=error.reason)
            await set_within(news, again.total_seconds() if again is not None else None)

    async def _open(self, what: Wanted) -> None:
        if not await self._custody.has(what.deployment):
            raise Retryable(
                f"the keyring has no keys of deployment {what.deployment}: is OVERT_DATA_DIR the right directory? "
                "Nothing of the deployment is touched until it is"
            )
        if (shelf := self._board.get(what.deployment)) is None:
            shelf = self._board.make(what.deployment, keep_for=what.keep_for)
            await self._recovery.fill(shelf)
            self._board.add(shelf)
        shelf.keep_for = what.keep_for
        if what.deployment not in self._consumers and not self._closed:
            self._consumers[what.deployment] = await self._bus.consume(
                EVIDENCE,
                what.deployment,
                Service.ALERTS,
                partial(self._intake.take, shelf),
                on_buried=partial(self._intake.buried, shelf),
            )
            log.info("deployment_opened", deployment=what.deployment, alerts=len(list(shelf)))

    async def _end_list(self, deployment: str) -> None:
        destroyed = await self._custody.destroy_list_secrets(deployment, await self._custody.generations(deployment))
        await self._bus.steward.delete_objects(deployment)
        if destroyed is not None:
            log.info("list_destroyed", deployment=deployment, keys=len(destroyed.key_ids))

    async def _purge(self, deployment: str) -> None:
        await self._custody.destroy_all(deployment)
        if (consumer := self._consumers.pop(deployment, None)) is not None:
            await consumer.close()
            await self._custody.destroy_all(deployment)  # of an alert that was being raised meanwhile
        self._board.remove(deployment)
        for spec in (EVIDENCE, ALERT):
            await self._bus.steward.delete_stream(spec, deployment)
        self._recovery.forget(deployment)
        await self._bus.steward.delete_objects(deployment)
