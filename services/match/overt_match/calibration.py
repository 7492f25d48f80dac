"""A cohort in force: what may be told of it, and what is taken for one. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from overt.cohort import Cohort
from overt.errors import Rejected
from overt.limits import MAX_COHORT_BYTES
from overt.reasons import Reason
from overt.scoring import Normalisation

MOST_GROUPS = 200
MOST_TEXT = 500
"""Characters of the source, the legal basis, and the name of a group, each. Every replica is told them with the list's
head, which the store keeps as one message."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of a cohort file, what is no biometrics. `digest`: SHA-256 of the file, hex. `groups`: how many people have each
    label, by label; nobody in the file is tied to one."""

    digest: str
    model_digest: str
    people: int
    templates: int
    groups: tuple[tuple[str, int], ...]
    source: str
    legal_basis: str
    made_at: datetime
    normalisation: Normalisation
    tells_misses: bool = field(default=False)


def opened(content: bytes) -> tuple[Cohort, Calibration]:
    """A cohort file and what may be told of it. Blocks: 0.1 s for the largest. Rejected: message_too_large; bad_cohort
    for what is none, or none that this system's templates can be compared with."""
    if len(content) > MAX_COHORT_BYTES:
        raise Rejected(
            Reason.MESSAGE_TOO_LARGE,
            f"a cohort file has at most {MAX_COHORT_BYTES >> 20} MB: make it of fewer pictures",
        )
    try:
        cohort = Cohort.from_bytes(content, most_bytes=MAX_COHORT_BYTES)
    except ValueError as fault:
        raise _bad(f"this is no cohort file that can be used ({fault})") from None
    if cohort.mirrored:
        raise _bad("its templates are means of a face's and its mirror image's, those of cameras and lists are not")
    if len(cohort.groups) > MOST_GROUPS:
        raise _bad(f"it has more than {MOST_GROUPS} groups")
    if any(len(text) > MOST_TEXT for text in (cohort.source, cohort.legal_basis, *(g.name for g in cohort.groups))):
        raise _bad(f"its source, its legal basis or the name of a group has more than {MOST_TEXT} characters")
    return cohort, Calibration(
        digest=hashlib.sha256(content).hexdigest(),
        model_digest=cohort.model_digest,
        people=cohort.people,
        templates=len(cohort),
        groups=tuple(sorted({group.name: group.people for group in cohort.groups}.items())),
        source=cohort.source,
        legal_basis=cohort.legal_basis,
        made_at=cohort.created_at,
        normalisation=cohort.normalisation,
        tells_misses=cohort.misses is not None,
    )


def _bad(why: str) -> Rejected:
    return Rejected(Reason.BAD_COHORT, f"{why}: make it again with `overt calibrate`")
