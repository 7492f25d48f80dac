"""What a list is, what may enter it, when it may be searched. Pure: no I/O, no protobuf, no clock.

Whatever says who is listed, and every biometric, is left out of every repr.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from overt.errors import Rejected
from overt.ids import EntryId
from overt.reasons import Reason
from overt.scoring import Statistics

from overt_match.calibration import Calibration

Templates = NDArray[np.float32]
"""One unit vector a row."""


def unit(templates: Templates) -> Templates:
    """To the last digit: what comes has a norm of 1 +- 1e-3."""
    exact: Templates = templates / np.linalg.norm(templates, axis=1, keepdims=True) if len(templates) else templates
    return exact


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
    calibration_digest: str = ""
    """Of the calibration that the thresholds were made with; empty: they are raw cosines."""
    under_18_threshold: float = 0.0
    """With a calibration only."""
    target_fpir: float = 0.0
    """Likewise: what the thresholds aim at."""

    def checked_searchable(self, now: datetime) -> None:
        """Rejected unless it is active, with thresholds that can be one, and `now` is inside its window."""
        if self.state is not State.ACTIVE:
            raise Rejected(Reason.WRONG_STATE, "the deployment is not active")
        if self.calibration_digest:
            if not (math.isfinite(self.threshold) and math.isfinite(self.under_18_threshold)):
                raise Rejected(Reason.WRONG_STATE, "a threshold of the deployment is no number")
        elif not 0 < self.threshold <= 1:
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
    """Entries and the templates of their references: rows in the order of the entries, then of the references.
    `statistics`: of each row against the cohort in force; None without one, or before they are made."""

    entries: tuple[Entry, ...]
    templates: Templates
    statistics: Statistics | None = None

    def __post_init__(self) -> None:
        if len(self.templates) != sum(len(e.references) for e in self.entries):
            raise ValueError("a batch has one template a reference")
        if self.statistics is not None and len(self.statistics) != len(self.templates):
            raise ValueError("a batch has statistics of every template, or of none")

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
        kept = np.array([e.entry_id not in entries for e in self.entries for _ in e.references], dtype=bool)
        return Batch(
            tuple(e for e in self.entries if e.entry_id not in entries),
            self.templates[kept],
            None if self.statistics is None else self.statistics[kept],
        )


def joined(batches: Sequence[Batch]) -> Batch:
    """All of them as one. Rejected(BAD_MESSAGE): templates of different lengths are not one model's work, and
    statistics of some of them not one cohort's."""
    filled = [b for b in batches if len(b.templates)]
    if len({b.templates.shape[1] for b in filled}) > 1:
        raise Rejected(Reason.BAD_MESSAGE, "the list holds templates of different lengths")
    known = [b.statistics for b in filled if b.statistics is not None]
    if known and len(known) < len(filled):
        raise Rejected(Reason.BAD_MESSAGE, "the list holds statistics of some templates only")
    return Batch(
        tuple(e for b in batches for e in b.entries),
        np.concatenate([b.templates for b in filled]) if filled else np.empty((0, 0), dtype=np.float32),
        _concatenated(known) if known else None,
    )


def _concatenated(known: Sequence[Statistics]) -> Statistics:
    return Statistics(np.concatenate([s.mean for s in known]), np.concatenate([s.deviation for s in known]))


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
    calibration: Calibration | None = None
    calibration_part: str = field(default="", repr=False)
    cohort_to_erase: bool = False

    @property
    def calibration_digest(self) -> str:
        """Empty without a calibration."""
        return self.calibration.digest if self.calibration else ""

    @property
    def to_erase(self) -> frozenset[EntryId]:
        """Removed entries whose bytes are still in the parts."""
        return frozenset(self.removed[self.erased :])

    @property
    def has_to_erase(self) -> bool:
        """Something that is not in force any more can still be read."""
        return bool(self.to_erase) or self.cohort_to_erase


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
