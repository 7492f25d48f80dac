"""What this replica knows to be in force: deployments, heads and loaded lists, kept up with the two watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from overt.bus import Change, Watch
from overt.errors import OvertError, Rejected, Retryable
from overt.ids import EntryId
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import Metric, gauge, get_logger

from overt_match import wire
from overt_match.domain import Deployment, Head
from overt_match.loading import LoadedList, Loading

STALE_AFTER = timedelta(seconds=2)
"""A watch that heard nothing for longer may have missed a removal or an end: searches are refused."""
_RETRY_FIRST, _RETRY_MOST = 0.2, 5.0

T = TypeVar("T")

log = get_logger(__name__)


@dataclass(slots=True)
class _Known:
    deployment: Deployment | None = None
    head: Head | None = None
    removed: frozenset[EntryId] = frozenset()
    loaded: LoadedList | None = None
    failures: int = 0
    hopeless: bool = False
    seen: bool = False

    @property
    def wanted(self) -> Head | None:
        """The head that should be in memory; None if nothing may be."""
        keeps = self.deployment is not None and self.deployment.state.keeps_a_list
        return self.head if keeps and self.head is not None and not self.head.destroyed else None

    @property
    def behind(self) -> bool:
        return self.wanted is not None and (self.loaded is None or self.loaded.head != self.wanted)


@dataclass(frozen=True, slots=True)
class InForce:
    """What a search needs, as of one moment."""

    deployment: Deployment
    head: Head
    removed: frozenset[EntryId]
    loaded: LoadedList


class ListsInForce:
    """Its three coroutines (`follow_deployments`, `follow_lists`, `load`) are root tasks; the rest asks.

    A removal and an end take effect the moment they are heard, before anything is loaded again.
    """

    def __init__(
        self,
        *,
        deployments: Callable[[], Watch],
        lists: Callable[[], Watch],
        loading: Loading,
        clock: Clock,
        on_first_head: Callable[[str], object] = lambda deployment: None,
    ) -> None:
        """`on_first_head` is told once of every deployment that keeps a list."""
        self._watches = {"deployments": deployments, "lists": lists}
        self._open: dict[str, Watch] = {}
        self._complete = {"deployments": False, "lists": False}
        self._loading = loading
        self._clock = clock
        self._on_first_head = on_first_head
        self._known: dict[str, _Known] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()

    # Root tasks

    async def follow_deployments(self) -> None:
        """Until cancelled, takes in the bucket `deployments`."""
        await self._follow("deployments", self._deployment_changed)

    async def follow_lists(self) -> None:
        """Until cancelled, takes in the bucket `lists`."""
        await self._follow("lists", self._head_changed)

    async def load(self) -> None:
        """Until cancelled, loads what has changed, one list at a time."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                await self._bring_up_to_date(self._dirty.pop())
                await self._tell()

    # Questions

    def searchable(self, deployment_id: str) -> InForce:
        """What is in force for a search now. Rejected with the reason why there is no search."""
        known = self._known.get(deployment_id)
        if known is None or known.deployment is None:
            raise Rejected(Reason.UNKNOWN_DEPLOYMENT, "there is no such deployment")
        known.deployment.checked_searchable(self._clock.now())
        if any(w.heard_ago > STALE_AFTER for w in self._open.values()) or not all(self._complete.values()):
            raise Rejected(Reason.LIST_NOT_READY, "the store was not heard of lately")
        head = known.wanted
        if head is not None and not head.sealed:
            raise Rejected(Reason.LIST_NOT_SEALED, "the list is not sealed")
        # A sealed list only ever shrinks, so one that is behind by a removal is right without what was removed.
        if head is None or known.loaded is None or known.loaded.index is None:
            raise Rejected(Reason.LIST_NOT_READY, "the list is not loaded")
        if known.deployment.calibration_digest != head.calibration_digest:
            # A score of one says nothing against a threshold of the other.
            raise Rejected(Reason.WRONG_STATE, "the deployment's threshold was made with another calibration")
        return InForce(known.deployment, head, known.removed, known.loaded)

    async def at(self, deployment_id: str, revision: int, *, within: float = 5.0) -> LoadedList:
        """The list, loaded, at `revision` or later. Retryable if it is not within that many seconds."""

        def there() -> LoadedList | None:
            known = self._known.get(deployment_id)
            loaded = known.loaded if known else None
            return loaded if loaded is not None and loaded.head.revision >= revision else None

        try:
            async with asyncio.timeout(within), self._changed:
                while (loaded := there()) is None:
                    await self._changed.wait()
                return loaded
        except TimeoutError:
            raise Retryable("the list is not loaded yet") from None

    async def caught_up(self, *, within: float) -> bool:
        """Whether, within that many seconds, everything there is was heard, and loaded where waiting can help."""

        def done() -> bool:
            return all(self._complete.values()) and not any(k.behind and not k.hopeless for k in self._known.values())

        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(done)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Forgets every list."""
        for watch in self._open.values():
            await watch.aclose()
        for deployment_id in self._known:
            await self._forget(deployment_id)

    # Changes

    async def _follow(self, name: str, take: Callable[[Change], None]) -> None:
        watch = self._open[name] = self._watches[name]()
        async for change in watch:
            if change.is_marker:
                self._complete[name] = True
            else:
                take(change)
                self._mark(change.key)
            await self._tell()

    def _deployment_changed(self, change: Change) -> None:
        known = self._known.setdefault(change.key, _Known())
        known.deployment = _understood(wire.deployment_from, change)
        known.failures, known.hopeless = 0, False
        self._announce(change.key, known)

    def _head_changed(self, change: Change) -> None:
        known = self._known.setdefault(change.key, _Known())
        known.head = _understood(wire.head_from, change)
        known.removed = frozenset(known.head.removed) if known.head else frozenset()
        known.failures, known.hopeless = 0, False
        self._announce(change.key, known)

    def _announce(self, deployment_id: str, known: _Known) -> None:
        head = known.wanted
        if head is not None:
            gauge(Metric.LIST_SIZE, head.size, deployment=deployment_id)
            gauge(Metric.LIST_REVISION, head.revision, deployment=deployment_id)
            if not known.seen:
                known.seen = True
                self._on_first_head(deployment_id)

    def _mark(self, deployment_id: str) -> None:
        self._dirty.add(deployment_id)
        self._wake.set()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # Loading

    async def _bring_up_to_date(self, deployment_id: str) -> None:
        known = self._known[deployment_id]
        head = known.wanted
        if head is None:
            await self._forget(deployment_id)
            return
        if not known.behind:
            return
        try:
            loaded = await self._loading(deployment_id, head, before=known.loaded, now=self._clock.now())
        except OvertError as fault:
            known.failures += 1
            known.hopeless = isinstance(fault, Rejected)
            delay = min(_RETRY_FIRST * 2 ** (known.failures - 1), _RETRY_MOST)
            log.warning("list_not_loaded", deployment=deployment_id, revision=head.revision, error=fault)
            asyncio.get_running_loop().call_later(delay, self._mark, deployment_id)
            return
        known.failures, known.hopeless = 0, False
        if known.wanted is None:
            # It ended while it was being loaded.
            if loaded.index is not None:
                loaded.index.close()
            await self._forget(deployment_id)
            return
        # An index that was replaced goes when the last search in it is done.
        known.loaded = loaded
        log.info("list_loaded", deployment=deployment_id, revision=head.revision, list_size=len(loaded.entries))

    async def _forget(self, deployment_id: str) -> None:
        known = self._known[deployment_id]
        loaded, known.loaded = known.loaded, None
        if loaded is not None:
            if loaded.index is not None:
                await asyncio.to_thread(loaded.index.close)
            gauge(Metric.LIST_SIZE, 0, deployment=deployment_id)
            log.info("list_forgotten", deployment=deployment_id)


def _understood(parse: Callable[[bytes], T], change: Change) -> T | None:
    """None as well for a value that is no message: its writer is newer than we are, or broken. What was known
    before must not go on by itself."""
    try:
        return None if change.value is None else parse(change.value)
    except Rejected as fault:
        log.error("change_not_understood", deployment=change.key, error=fault)
        return None
