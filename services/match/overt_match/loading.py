"""From the sealed snapshot to something that can be listed and searched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from overt.cohort import Cohort
from overt.errors import Rejected
from overt.ids import EntryId
from overt.reasons import Reason
from overt.scoring import Statistics
from overt.telemetry import SpanName, span

from overt_match.calibration import opened
from overt_match.digest import list_digest
from overt_match.domain import Batch, Entry, Head, joined
from overt_match.ports import Index, Indexes, ListKeys, Snapshot


class Owner(NamedTuple):
    """Whose template an ordinal of the index is."""

    entry_id: EntryId
    reference: int


@dataclass(frozen=True, slots=True, repr=False)
class LoadedList:
    """A revision of a list in memory. `entries` holds no template; only a draft keeps those, in `parts`. `cohort` is
    the one in force, if any, and `statistics` then those of the index's rows."""

    head: Head
    entries: Mapping[EntryId, Entry]
    index: Index | None = None
    owners: tuple[Owner, ...] = ()
    template_length: int = 0
    parts: Mapping[str, Batch] = field(default_factory=dict)
    cohort: Cohort | None = None
    statistics: Statistics | None = None

    @property
    def references(self) -> int:
        """What a search compares with."""
        return sum(len(entry.references) for entry in self.entries.values())

    def __repr__(self) -> str:
        state = "sealed" if self.index else "draft"
        return f"LoadedList(revision {self.head.revision}, {len(self.entries)} entries, {state})"


class Loading:
    """Loads a list as a head announces it."""

    def __init__(self, *, snapshot: Snapshot, keys: ListKeys, indexes: Indexes) -> None:
        self._snapshot = snapshot
        self._keys = keys
        self._indexes = indexes

    async def __call__(self, deployment: str, head: Head, *, before: LoadedList | None, now: datetime) -> LoadedList:
        """The list of `head`. What `before` already holds of it is not fetched again.

        Retryable when the store or alerts is away; Rejected(BAD_MESSAGE) when what is stored is not what was
        sealed, or does not have the digest that was sealed.
        """
        with span(SpanName.LIST_LOAD, deployment=deployment, revision=head.revision, entries=head.size):
            if before is not None and _same_parts(before.head, head):
                return _of(before, head)
            parts = await self._parts(deployment, head, before.parts if before else {})
            cohort = await self._cohort(deployment, head, before)
            return await asyncio.to_thread(self._made, deployment, head, parts, cohort, now)

    async def _parts(self, deployment: str, head: Head, known: Mapping[str, Batch]) -> dict[str, Batch]:
        missing = [name for name in head.parts if name not in known]
        fetched: dict[str, Batch] = {}
        if missing:
            secret = await self._keys.secret(deployment, head.generation)
            for name in missing:
                fetched[name] = await self._snapshot.read(deployment, name, secret)
        return {name: fetched.get(name) or known[name] for name in head.parts}

    async def _cohort(self, deployment: str, head: Head, before: LoadedList | None) -> Cohort | None:
        if not head.calibration_digest:
            return None
        if before is not None and before.head.calibration_digest == head.calibration_digest:
            return before.cohort
        secret = await self._keys.secret(deployment, head.generation)
        content = await self._snapshot.read_cohort(deployment, head.calibration_part, secret)
        cohort, calibration = await asyncio.to_thread(opened, content)
        if calibration.digest != head.calibration_digest:
            raise Rejected(Reason.BAD_MESSAGE, "the stored cohort is not the one that was put in force")
        return cohort

    def _made(
        self, deployment: str, head: Head, parts: dict[str, Batch], cohort: Cohort | None, now: datetime
    ) -> LoadedList:
        """Blocks for as long as the index takes to build."""
        whole = joined(list(parts.values()))
        length = whole.templates.shape[1]
        if cohort is not None and whole.entries and whole.statistics is None:
            raise Rejected(Reason.BAD_MESSAGE, "the stored list has no statistics against its cohort")
        if not head.sealed:
            entries = {e.entry_id: e for e in whole.entries if e.entry_id not in head.to_erase}
            return LoadedList(head, entries, template_length=length, parts=parts, cohort=cohort)
        if list_digest(deployment, head.model_digest, whole.entries, head.calibration_digest) != head.digest:
            raise Rejected(Reason.BAD_MESSAGE, "the stored list is not the one that was sealed")
        gone = head.to_erase | {e.entry_id for e in whole.entries if not e.in_force(now)}
        live = whole.without(gone)
        return LoadedList(
            head,
            {e.entry_id: e for e in whole.entries if e.entry_id not in head.to_erase},
            self._indexes.build(live.templates),
            tuple(Owner(e.entry_id, i) for e in live.entries for i in range(len(e.references))),
            length,
            cohort=cohort,
            statistics=live.statistics if cohort is not None else None,
        )


def _same_parts(one: Head, other: Head) -> bool:
    """Nothing has to be fetched or built to get from one to the other."""
    return (one.parts, one.sealed, one.calibration_part) == (other.parts, other.sealed, other.calibration_part)


def _of(loaded: LoadedList, head: Head) -> LoadedList:
    """The same parts under a later head: entries removed since then go, the index stays."""
    entries = {i: e for i, e in loaded.entries.items() if i not in head.to_erase}
    return replace(loaded, head=head, entries=entries)
