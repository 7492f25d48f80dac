"""What may enter a list. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from overt.categories import Category
from overt.errors import Rejected
from overt.limits import MAX_LIST_BYTES
from overt.reasons import Reason

from overt_match.domain import Batch, Entry

MAX_ENTRIES = 20_000
"""Above the longest list in use (the Met's, 16,000 to 17,000). A longer one is no longer a short watchlist."""
MAX_REFERENCES = 8
"""Of one entry."""
MAX_SUBJECT_REF = 100
MAX_TEXT = 500
"""Characters of legal basis, image source and reason, each: a citation and a sentence, not a file."""
MAX_JPEG_BYTES = 128 * 1024
"""A face at 320 px is 30 kB at the most usual qualities; the card must fit into evidence (512 kB in all)."""


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
