"""Adds entries to a draft list: all of a batch or nothing of it."""

from __future__ import annotations

from dataclasses import replace

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import SpanName, get_logger, span

from overt_match.domain import Batch, Head, State, check_batch
from overt_match.in_force import ListsInForce
from overt_match.ports import ListKeys, Snapshot

_ATTEMPTS = 5
"""Against others who change the same list: each loses only to one who won."""

log = get_logger(__name__)


class ImportEntries:
    """The use case."""

    def __init__(self, *, snapshot: Snapshot, keys: ListKeys, lists: ListsInForce, clock: Clock) -> None:
        self._snapshot = snapshot
        self._keys = keys
        self._lists = lists
        self._clock = clock

    async def __call__(self, deployment: str, model_digest: str, batch: Batch) -> Head:
        """The head that has the batch in it. Rejected: see `check_batch`; wrong_state, list_sealed,
        model_mismatch. Retryable when the store or alerts is away."""
        with span(SpanName.LIST_IMPORT, deployment=deployment, entries=len(batch.entries)):
            if (await self._snapshot.deployment(deployment)).state is not State.DRAFT:
                raise Rejected(Reason.WRONG_STATE, "entries are imported while the deployment is a draft")
            if not model_digest:
                raise Rejected(Reason.BAD_FIELD, "model_digest is missing")
            for _ in range(_ATTEMPTS):
                head = await self._attempt(deployment, model_digest, batch)
                if head is not None:
                    log.info(
                        "entries_imported",
                        deployment=deployment,
                        entries=len(batch.entries),
                        list_size=head.size,
                        revision=head.revision,
                    )
                    return head
            raise Retryable("others are changing this list; try again")

    async def _attempt(self, deployment: str, model_digest: str, batch: Batch) -> Head | None:
        """None if somebody else changed the list meanwhile."""
        found = await self._snapshot.head(deployment)
        replaces, head = found if found else (None, Head())
        if head.destroyed:
            raise Rejected(Reason.WRONG_STATE, "this list was destroyed")
        if head.sealed:
            raise Rejected(Reason.LIST_SEALED, "the list is sealed: nothing can be added")
        if head.size and head.model_digest != model_digest:
            raise Rejected(Reason.MODEL_MISMATCH, "the list holds templates of another model")
        loaded = await self._lists.at(deployment, head.revision) if found else None
        check_batch(
            batch,
            listed=tuple(loaded.entries.values()) if loaded else (),
            template_length=loaded.template_length if loaded and loaded.entries else None,
            now=self._clock.now(),
        )
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
        return grown
