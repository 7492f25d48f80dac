"""Importing a list: unpack, enrol every picture, hand the entries to match. Keeps nothing.

A row that cannot be used is refused with its reason and the others go in. If detect or match goes away in
between, the import fails as a whole or stops: what is on the list already is refused as a duplicate the next
time, so the same archive can simply be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import SpanName, get_logger, span

from overt_gateway import manifest
from overt_gateway.archive import unpack
from overt_gateway.domain import Deployment, State
from overt_gateway.import_result import ImportResult, named
from overt_gateway.manifest import Person, Refusal, Row
from overt_gateway.ports import Enroller, NearDuplicate, NewEntry, Reference, Watchlists

log = get_logger(__name__)

ENROL_AT_ONCE = 4
"""Enrolment is CPU work in detect, which also looks at the cameras."""
MAX_IMAGE_BYTES = 8 * 1024 * 1024
BATCH_BYTES = 4 * 1024 * 1024
"""Half of the largest gRPC message, so that one entry of the largest kind fits on top."""
_TRIES = 3
_TRY_AGAIN_S = 0.5

_ABOUT_AN_ENTRY = frozenset(
    {
        Reason.BAD_FIELD,
        Reason.BAD_MESSAGE,
        Reason.DUPLICATE_SUBJECT,
        Reason.EXPIRED,
        Reason.MESSAGE_TOO_LARGE,
        Reason.TOO_MANY_ENTRIES,
        Reason.UNKNOWN_CATEGORY,
    }
)
"""Refusals by match that are about one entry, not about the list."""

_IN_WORDS = {
    Reason.NO_FACE: "no face was found in the picture",
    Reason.SEVERAL_FACES: "two faces or more are in the picture",
    Reason.TOO_SMALL: "the face in the picture is too small",
    Reason.BLURRED: "the picture is blurred",
    Reason.EXTREME_POSE: "the face is turned away too far",
    Reason.TOO_DARK: "the face is too dark",
    Reason.TOO_BRIGHT: "the face is too bright",
    Reason.LOW_CONFIDENCE: "it is not clear that this is a face",
    Reason.NOT_A_PICTURE: "this is neither a JPEG nor a PNG picture",
    Reason.NOT_A_JPEG: "this is neither a JPEG nor a PNG picture",
    Reason.TRUNCATED: "the picture file is cut off",
    Reason.PICTURE_TOO_SMALL: "the picture is too small",
    Reason.PICTURE_TOO_LARGE: "the picture is too large: 8 MB and 4096 x 4096 pixels at most",
    Reason.MESSAGE_TOO_LARGE: "the picture is too large: 8 MB and 4096 x 4096 pixels at most",
    Reason.DUPLICATE_SUBJECT: "this subject_ref is on the list already",
    Reason.TOO_MANY_ENTRIES: "the list is full",
}


class ListImport:
    """One import at a time in a gateway: an upload may need 330 MB of memory while it is worked on."""

    def __init__(self, *, enroller: Enroller, watchlists: Watchlists, clock: Clock) -> None:
        self._enroller = enroller
        self._watchlists = watchlists
        self._clock = clock
        self._busy = asyncio.Lock()
        self._enrolling = asyncio.Semaphore(ENROL_AT_ONCE)

    def reserve(self) -> asyncio.Lock:
        """Held from before the body is read. Retryable if another import has it."""
        if self._busy.locked():
            raise Retryable("another import is under way: try again when it is done")
        return self._busy

    async def run(self, deployment: Deployment, archive: bytes) -> ImportResult:
        """Rejected for the whole upload (archive, manifest, state), otherwise what became of every row."""
        check_open(deployment)
        with span(SpanName.LIST_IMPORT, deployment=deployment.deployment_id) as step:
            files, folder, rows, refused = await asyncio.to_thread(_read, archive, self._clock.now())
            total = len(rows) + len(refused)
            people, doubled = manifest.people(rows)
            refused += doubled
            digest = await self._enroller.model_digest()
            entries, unusable = await self._enrol(people, files, folder)
            refused += unusable
            if await self._enroller.model_digest() != digest:
                raise Retryable("detect was replaced during the import: send the archive again")
            accepted, alike = await self._add(deployment.deployment_id, digest, entries, refused)
            view = await self._watchlists.read(deployment.deployment_id)
            step.set(entries=len(accepted), dropped=len(refused))
        log.info(
            "list_imported",
            deployment=deployment.deployment_id,
            entries=len(accepted),
            dropped=len(refused),
            list_size=len(view.entries),
        )
        return ImportResult(
            rows=total,
            pictures=sum(len(entry.references) for entry in accepted),
            accepted=len(accepted),
            size=len(view.entries),
            revision=view.revision,
            refused=tuple(sorted(refused, key=lambda refusal: refusal.row)),
            near_duplicates=named(alike, view),
        )

    async def _enrol(
        self, people: Sequence[Person], files: Mapping[str, bytes], folder: str
    ) -> tuple[list[tuple[Person, NewEntry]], list[Refusal]]:
        """Entries with at least one usable picture, and the rows whose picture is not."""
        rows = [row for person in people for row in person.rows]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {row.number: group.create_task(self._one(row, files.get(folder + row.image))) for row in rows}
        except ExceptionGroup as failed:
            # Any one of them speaks for all: the import as a whole is off.
            raise failed.exceptions[0] from None
        outcomes = {number: task.result() for number, task in tasks.items()}
        entries: list[tuple[Person, NewEntry]] = []
        for person in people:
            kept = tuple(row for row in person.rows if isinstance(outcomes[row.number], Reference))
            references = tuple(o for row in kept if isinstance(o := outcomes[row.number], Reference))
            if references:
                entries.append((Person(kept), _entry(Person(kept), references)))
        return entries, [outcome for outcome in outcomes.values() if isinstance(outcome, Refusal)]

    async def _one(self, row: Row, image: bytes | None) -> Reference | Refusal:
        if not image:
            return _refuse(row, Reason.MISSING_IMAGE, "the archive does not hold this picture")
        if len(image) > MAX_IMAGE_BYTES:
            return _refuse(row, Reason.PICTURE_TOO_LARGE)
        async with self._enrolling:
            for again in range(_TRIES - 1, -1, -1):
                try:
                    return await self._enroller.enrol(image)
                except Rejected as error:
                    return _refuse(row, error.reason, str(error))
                except Retryable:
                    if not again:
                        raise
                    await asyncio.sleep(_TRY_AGAIN_S)
        raise AssertionError("unreachable")

    async def _add(
        self,
        deployment: str,
        digest: str,
        entries: Sequence[tuple[Person, NewEntry]],
        refused: list[Refusal],
    ) -> tuple[list[NewEntry], list[tuple[Person, NearDuplicate]]]:
        """Who went in, and of those who may be on the list twice."""
        accepted: list[NewEntry] = []
        alike: list[tuple[Person, NearDuplicate]] = []
        for batch in _batches(entries):
            accepted += await self._add_batch(deployment, digest, batch, refused, alike)
        return accepted, alike

    async def _add_batch(
        self,
        deployment: str,
        digest: str,
        batch: Sequence[tuple[Person, NewEntry]],
        refused: list[Refusal],
        alike: list[tuple[Person, NearDuplicate]],
    ) -> list[NewEntry]:
        """match takes all or none: halve a refused batch until the entries it is about stand alone."""
        try:
            added = await self._watchlists.add(deployment, digest, [entry for _, entry in batch])
        except Rejected as error:
            if error.reason not in _ABOUT_AN_ENTRY:
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                first = await self._add_batch(deployment, digest, batch[:middle], refused, alike)
                return first + await self._add_batch(deployment, digest, batch[middle:], refused, alike)
            # Alone in its batch, an entry needs no position.
            message = str(error).removeprefix("entry 0 of the batch: ")
            refused += [_refuse(row, error.reason, message) for row in batch[0][0].rows]
            return []
        alike += [(batch[near.position][0], near) for near in added.near_duplicates]
        return [entry for _, entry in batch]


def _read(archive: bytes, now: datetime) -> tuple[dict[str, bytes], str, list[Row], list[Refusal]]:
    """The files, the folder of the manifest, its good rows and its refused ones. Blocks."""
    files = unpack(archive)
    folder, table = manifest.find(files)
    return files, folder, *manifest.parse(table, now=now)


def check_open(deployment: Deployment) -> None:
    """Rejected unless its list can still be changed."""
    if deployment.state is not State.DRAFT:
        raise Rejected(Reason.WRONG_STATE, f"a list is changed in a draft; this deployment is {deployment.state.value}")


def _entry(person: Person, references: tuple[Reference, ...]) -> NewEntry:
    row = person.first
    return NewEntry(
        subject_ref=row.subject_ref,
        category=row.category.value,
        legal_basis=row.legal_basis,
        image_source=person.image_source,
        reason=row.reason,
        expires_at=row.expires_at,
        under_18=row.under_18,
        references=references,
    )


def _batches(entries: Sequence[tuple[Person, NewEntry]]) -> list[list[tuple[Person, NewEntry]]]:
    batches: list[list[tuple[Person, NewEntry]]] = []
    size = 0
    for person, entry in entries:
        weight = 4096 + sum(len(r.jpeg) + len(r.template) for r in entry.references)
        if not batches or size + weight > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append((person, entry))
        size += weight
    return batches


def _refuse(row: Row, reason: Reason, message: str = "") -> Refusal:
    return Refusal(row.number, row.image, row.subject_ref, reason, _IN_WORDS.get(reason) or message)
