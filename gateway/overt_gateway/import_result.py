"""What came of importing a list. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from overt_gateway.manifest import Person, Refusal
from overt_gateway.ports import ListView, NearDuplicate


@dataclass(frozen=True, slots=True)
class Alike:
    """A row whose entry went in and may be the same person as another one on the list. `cosine`: of their most alike
    references."""

    row: int
    image: str = field(repr=False)
    subject_ref: str = field(repr=False)
    other_entry_id: str = field(repr=False)
    other_subject_ref: str = field(repr=False)
    cosine: float = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """`rows == pictures + len(refused)`; `accepted` counts entries (people), `size` is the whole list now."""

    rows: int
    pictures: int
    accepted: int
    size: int
    revision: int
    refused: tuple[Refusal, ...]
    near_duplicates: tuple[Alike, ...] = ()


def named(alike: Sequence[tuple[Person, NearDuplicate]], view: ListView) -> tuple[Alike, ...]:
    """By row. Who was taken off meanwhile is nobody's duplicate."""
    subjects = {entry.entry_id: entry.subject_ref for entry in view.entries}
    found = [
        Alike(row.number, row.image, row.subject_ref, near.entry_id, subjects[near.entry_id], near.cosine)
        for person, near in alike
        for row in person.rows[:1]
        if near.entry_id in subjects
    ]
    return tuple(sorted(found, key=lambda one: one.row))
