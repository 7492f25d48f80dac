"""What a list is, what may enter it, when it may be searched. Pure: no I/O, no protobuf, no clock.

Whatever says who is listed, and every biometric, is left out of every repr.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from overt.categories import Category
from overt.errors import Rejected
from overt.ids import EntryId
from overt.limits import MAX_LIST_BYTES
from overt.reasons import Reason

Templates = NDArray[np.float32]
"""One unit vector a row."""

MAX_ENTRIES = 20_000
"""Above the longest list in use (the Met's, 16,000 to 17,000). A longer one is no longer a short watchlist."""
MAX_REFERENCES = 8
"""Of one entry."""
MAX_SUBJECT_REF = 100
MAX_TEXT = 500
"""Characters of legal basis, image source and reason, each: a citation and a sentence, not a file."""
MAX_JPEG_BYTES = 128 * 1024
"""A face at 320 px is 30 kB at the most usual qualities; the card must fit into evidence (512 kB in all)."""


class State(StrEnum):
    """A deployment's state, as far as match can be told it."""

    UNKNOWN = "unknown"
    DRAFT = "draft"
    SUBMITTED = "submitted"
    AUTHORISED = "authorised"
    REFUSED = "refused"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"
    PURGED = "purged"

    @property
    def keeps_a_list(self) -> bool:
        """False: nothing of a list may be in memory."""
        return self in _WITH_LIST


_WITH_LIST = frozenset({State.DRAFT, State.SUBMITTED, State.AUTHORISED, State.ACTIVE, State.SUSPENDED})


@dataclass(frozen=True, slots=True)
class Deployment:
    """The part of a deployment that decides whether and how its list is searched."""

    deployment_id: str
    state: State
    threshold: float
    sealing_public_key: bytes = field(repr=False)
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def checked_searchable(self, now: datetime) -> None:
        """Rejected unless it is active and `now` is inside its window."""
        if self.state is not State.ACTIVE:
            raise Rejected(Reason.WRONG_STATE, "the deployment is not active")
        if not 0 < self.threshold <= 1:
            raise Rejected(Reason.WRONG_STATE, "the deployment has no threshold between 0 and 1")
        # Without both ends there is no window, so it is not open.
        if self.starts_at is None or self.ends_at is None or not self.starts_at <= now < self.ends_at:
            raise Rejected(Reason.OUTSIDE_WINDOW, "the deployment's window is not open")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference picture. Its template is a row of the `Batch`; only the hash stays with the entry."""

    jpeg: bytes = field(repr=False)
    template_sha256: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody on the list, without the biometrics."""

    entry_id: EntryId
    subject_ref: str = field(repr=False)
    category: str = field(repr=False)
    legal_basis: str = field(repr=False)
    image_source: str = field(repr=False)
    reason: str = field(repr=False)
    expires_at: datetime = field(repr=False)
    under_18: bool = field(repr=False)
    references: tuple[Reference, ...] = field(repr=False)

    def in_force(self, now: datetime) -> bool:
        """False from `expires_at` on: it no longer matches."""
        return now < self.expires_at


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Entries and the templates of their references: rows in the order of the entries, then of the references."""

    entries: tuple[Entry, ...]
    templates: Templates

    def __post_init__(self) -> None:
        if len(self.templates) != sum(len(e.references) for e in self.entries):
            raise ValueError("a batch has one template a reference")

    def __repr__(self) -> str:
        return f"Batch({len(self.entries)} entries, {len(self.templates)} templates)"

    def rows(self) -> Iterator[tuple[Entry, Templates]]:
        """Each entry with the templates of its references."""
        start = 0
        for entry in self.entries:
            yield entry, self.templates[start : start + len(entry.references)]
            start += len(entry.references)

    def without(self, entries: Collection[EntryId]) -> Batch:
        """The rest of it."""
        kept = [e.entry_id not in entries for e in self.entries for _ in e.references]
        return Batch(
            tuple(e for e in self.entries if e.entry_id not in entries), self.templates[np.array(kept, dtype=bool)]
        )


def joined(batches: Sequence[Batch]) -> Batch:
    """All of them as one; templates of different lengths are Rejected(BAD_MESSAGE): not one model's work."""
    filled = [b.templates for b in batches if len(b.templates)]
    if len({t.shape[1] for t in filled}) > 1:
        raise Rejected(Reason.BAD_MESSAGE, "the list holds templates of different lengths")
    templates = np.concatenate(filled) if filled else np.empty((0, 0), dtype=np.float32)
    return Batch(tuple(e for b in batches for e in b.entries), templates)


@dataclass(frozen=True, slots=True)
class Head:
    """What is in force, announced to every replica. See ListHead in match.proto."""

    revision: int = 0
    sealed: bool = False
    model_digest: str = ""
    size: int = 0
    parts: tuple[str, ...] = field(default=(), repr=False)
    digest: str = ""
    generation: int = 0
    removed: tuple[EntryId, ...] = field(default=(), repr=False)
    erased: int = 0
    destroyed: bool = False

    @property
    def to_erase(self) -> frozenset[EntryId]:
        """Removed entries whose bytes are still in the parts."""
        return frozenset(self.removed[self.erased :])


def part_name(generation: int, unique: str) -> str:
    """Of a sealed part. It tells the generation of its secret, so that what a rotation leaves can be found."""
    return f"g{generation}-{unique}"


def part_generation(name: str) -> int:
    """0 for a name that is not a part's."""
    number = name[1:].partition("-")[0]
    return int(number) if name.startswith("g") and number.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Probe:
    """A shot's template, a unit vector, and when the sensor saw it (aware)."""

    template: Templates = field(repr=False)
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Track:
    """What is searched: all shots of a track so far. Nothing of it is kept."""

    deployment_id: str
    model_digest: str
    probes: tuple[Probe, ...] = field(repr=False)


@contextmanager
def naming(position: int) -> Iterator[None]:
    """A Rejected from inside says which entry of the batch it is about, by position: never by person."""
    try:
        yield
    except Rejected as fault:
        raise Rejected(fault.reason, f"entry {position} of the batch: {fault}") from None


def check_batch(batch: Batch, *, listed: Sequence[Entry], template_length: int | None, now: datetime) -> None:
    """Whether all of it may join a draft list that holds `listed`; `template_length` is None for an empty list.

    Rejected with the first fault: bad_field, unknown_category, expired, duplicate_subject, too_many_entries.
    """
    if not batch.entries:
        raise Rejected(Reason.BAD_FIELD, "there is no entry in the batch")
    if len(listed) + len(batch.entries) > MAX_ENTRIES:
        raise Rejected(Reason.TOO_MANY_ENTRIES, f"a list has at most {MAX_ENTRIES} entries")
    subjects = {e.subject_ref for e in listed}
    for position, (entry, templates) in enumerate(batch.rows()):
        with naming(position):
            _check_entry(entry, now)
            if template_length not in (None, templates.shape[1]):
                raise Rejected(Reason.BAD_FIELD, "the template's length is not that of the list")
            if entry.subject_ref in subjects:
                raise Rejected(Reason.DUPLICATE_SUBJECT, "this subject_ref is on the list already")
            subjects.add(entry.subject_ref)
    length = batch.templates.shape[1] * batch.templates.itemsize
    if sum(len(r.jpeg) + length for e in (*listed, *batch.entries) for r in e.references) > MAX_LIST_BYTES:
        raise Rejected(
            Reason.TOO_MANY_ENTRIES,
            f"a list holds at most {MAX_LIST_BYTES >> 20} MB of pictures and templates: give fewer or smaller pictures",
        )


def _check_entry(entry: Entry, now: datetime) -> None:
    for name, value, most in (
        ("subject_ref", entry.subject_ref, MAX_SUBJECT_REF),
        ("legal_basis", entry.legal_basis, MAX_TEXT),
        ("image_source", entry.image_source, MAX_TEXT),
        ("reason", entry.reason, MAX_TEXT),
    ):
        if not value.strip() or len(value) > most:
            raise Rejected(Reason.BAD_FIELD, f"{name} is 1 to {most} characters")
        if not value.isprintable():
            raise Rejected(Reason.BAD_FIELD, f"{name} is one line of printable characters")
    if entry.category not in set(Category):
        raise Rejected(Reason.UNKNOWN_CATEGORY, "the category is one of " + ", ".join(Category))
    if not entry.in_force(now):
        raise Rejected(Reason.EXPIRED, "its expiry is in the past")
    if not 1 <= len(entry.references) <= MAX_REFERENCES:
        raise Rejected(Reason.BAD_FIELD, f"an entry has 1 to {MAX_REFERENCES} references")
    for reference in entry.references:
        if not 0 < len(reference.jpeg) <= MAX_JPEG_BYTES:
            raise Rejected(Reason.BAD_FIELD, f"a reference picture has 1 to {MAX_JPEG_BYTES} bytes")


def list_digest(deployment_id: str, model_digest: str, entries: Collection[Entry]) -> str:
    """SHA-256, hex, over the list as canonical JSON: entries by id, each template and picture by its own hash.

    What an authority covers: any change of who is listed, why, by which picture or under which model changes it;
    the order of import, the parts and the sealing do not.
    """
    digest = hashlib.sha256()
    digest.update(_canonical({"deployment": deployment_id, "model_digest": model_digest}))
    for entry in sorted(entries, key=lambda e: e.entry_id):
        digest.update(
            _canonical(
                {
                    "entry_id": entry.entry_id,
                    "subject_ref": entry.subject_ref,
                    "category": entry.category,
                    "legal_basis": entry.legal_basis,
                    "image_source": entry.image_source,
                    "reason": entry.reason,
                    "expires_at": entry.expires_at.isoformat(),
                    "under_18": entry.under_18,
                    "references": [
                        [r.template_sha256.hex(), hashlib.sha256(r.jpeg).hexdigest()] for r in entry.references
                    ],
                }
            )
        )
    return digest.hexdigest()


def _canonical(value: object) -> bytes:
    # One line each: a JSON text holds no raw line end, so no two lists give the same bytes.
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
