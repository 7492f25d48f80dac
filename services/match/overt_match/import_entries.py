"""Adds entries to a draft list: all of a batch or nothing of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import NamedTuple

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import SpanName, get_logger, span

from overt_match.checking import check_batch
from overt_match.domain import Batch, Head, State, joined, unit
from overt_match.duplicates import NearDuplicate, near_duplicates
from overt_match.in_force import ListsInForce
from overt_match.loading import LoadedList
from overt_match.ports import ListKeys, Snapshot

_ATTEMPTS = 5
"""Against others who change the same list: each loses only to one who won."""

log = get_logger(__name__)


class Imported(NamedTuple):
    """The head that has the batch in it, and who of the batch may be somebody else on the list."""

    head: Head
    near_duplicates: tuple[NearDuplicate, ...]


class ImportEntries:
    """The use case."""

    def __init__(self, *, snapshot: Snapshot, keys: ListKeys, lists: ListsInForce, clock: Clock) -> None:
        self._snapshot = snapshot
        self._keys = keys
        self._lists = lists
        self._clock = clock

    async def __call__(self, deployment: str, model_digest: str, batch: Batch) -> Imported:
        """Rejected: see `check_batch`; wrong_state, list_sealed, model_mismatch. Retryable when the store or alerts is
        away."""
        with span(SpanName.LIST_IMPORT, deployment=deployment, entries=len(batch.entries)):
            if (await self._snapshot.deployment(deployment)).state is not State.DRAFT:
                raise Rejected(Reason.WRONG_STATE, "entries are imported while the deployment is a draft")
            if not model_digest:
                raise Rejected(Reason.BAD_FIELD, "model_digest is missing")
            for _ in range(_ATTEMPTS):
                imported = await self._attempt(deployment, model_digest, batch)
                if imported is not None:
                    head = imported.head
                    log.info(
                        "entries_imported",
                        deployment=deployment,
                        entries=len(batch.entries),
                        list_size=head.size,
                        revision=head.revision,
                    )
                    return imported
            raise Retryable("others are changing this list; try again")

    async def _attempt(self, deployment: str, model_digest: str, batch: Batch) -> Imported | None:
        """None if somebody else changed the list meanwhile."""
        found = await self._snapshot.head(deployment)
        replaces, head = found if found else (None, Head())
        if head.destroyed:
            raise Rejected(Reason.WRONG_STATE, "this list was destroyed")
        if head.sealed:
            raise Rejected(Reason.LIST_SEALED, "the list is sealed: nothing can be added")
        if head.size and head.model_digest != model_digest:
            raise Rejected(Reason.MODEL_MISMATCH, "the list holds templates of another model")
        if head.calibration and head.calibration.model_digest != model_digest:
            raise Rejected(
                Reason.MODEL_MISMATCH,
                "the calibration in force was made with another model: take one that was made with this model",
            )
        loaded = await self._lists.at(deployment, head.revision) if found else None
        if loaded and loaded.head != head:
            return None
        check_batch(
            batch,
            listed=tuple(loaded.entries.values()) if loaded else (),
            template_length=_template_length(loaded) if loaded else None,
            now=self._clock.now(),
        )
        batch, alike = await asyncio.to_thread(_compared, batch, loaded)
        secret = await self._keys.secret(deployment, head.generation)
        parts = await self._snapshot.write(deployment, batch, secret)
        grown = replace(
            head,
            revision=head.revision + 1,
            model_digest=model_digest,
            size=head.size + len(batch.entries),
            parts=head.parts + parts,
            generation=secret.generation,
        )
        try:
            await self._snapshot.announce(deployment, grown, replaces)
        except Rejected as lost:
            if lost.reason is not Reason.CONFLICT:
                raise
            await self._snapshot.discard(deployment, parts)
            return None
        return Imported(grown, alike)


def _template_length(loaded: LoadedList) -> int | None:
    """What every template must have; None while anything may come."""
    if loaded.cohort is not None:
        return int(loaded.cohort.templates.shape[1])
    return loaded.template_length if loaded.entries else None


def _compared(batch: Batch, loaded: LoadedList | None) -> tuple[Batch, tuple[NearDuplicate, ...]]:
    """With the cohort in force, and with everybody listed. Blocks."""
    listed = joined(list(loaded.parts.values())).without(loaded.head.to_erase) if loaded else joined([])
    if loaded is not None and loaded.cohort is not None:
        batch = replace(batch, statistics=loaded.cohort.statistics(unit(batch.templates)))
    return batch, near_duplicates(batch, listed)
