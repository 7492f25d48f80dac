"""A fake of match: lists and their calibration, in memory, by the rules of match.proto."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from overt.errors import Rejected
from overt.reasons import Reason

from overt_gateway.aim import Threshold
from overt_gateway.ports import (
    Added,
    Calibration,
    EntrySummary,
    Expected,
    Forecast,
    ListView,
    NearDuplicate,
    NewEntry,
    SealedList,
)

MODEL_DIGEST = "fake-model"


class FakeWatchlists:
    """Pictures with the same bytes are near-duplicates. A cohort is whatever begins with `COHORT`; what follows is the
    digest of its model, if anything does."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, NewEntry]] = {}
        self.sealed: set[str] = set()
        self.calibrations: dict[str, Calibration] = {}
        self.revision = 0
        self.calls = 0
        self.most = 10_000
        self.score = 5.8

    async def add(self, deployment: str, model_digest: str, entries: Sequence[NewEntry]) -> Added:
        self.calls += 1
        known = self.entries.setdefault(deployment, {})
        if deployment in self.sealed:
            raise Rejected(Reason.LIST_SEALED, "the list is sealed")
        if len(known) + len(entries) > self.most:
            raise Rejected(Reason.TOO_MANY_ENTRIES, "the list is full")
        names = {entry.subject_ref for entry in known.values()}
        if any(entry.subject_ref in names for entry in entries):
            raise Rejected(Reason.DUPLICATE_SUBJECT, "on the list already")
        alike: list[NearDuplicate] = []
        for position, entry in enumerate(entries):
            pictures = {reference.jpeg for reference in entry.references}
            alike += [
                NearDuplicate(position, entry_id, 0.75)
                for entry_id, other in known.items()
                if any(len(r.jpeg) > 1 and r.jpeg in pictures for r in other.references)
            ][:1]
            known[str(uuid.uuid4())] = entry
        self.revision += 1
        return Added(self.revision, len(known), tuple(alike))

    async def read(self, deployment: str) -> ListView:
        return ListView(
            self.revision,
            deployment in self.sealed,
            MODEL_DIGEST,
            tuple(
                EntrySummary(entry_id, e.subject_ref, e.category, e.expires_at, e.under_18, len(e.references))
                for entry_id, e in self.entries.get(deployment, {}).items()
            ),
            self.calibrations.get(deployment),
        )

    async def remove(self, deployment: str, entry_id: str) -> int:
        if entry_id not in self.entries.get(deployment, {}):
            raise Rejected(Reason.UNKNOWN_ENTRY, "there is no such entry")
        del self.entries[deployment][entry_id]
        self.revision += 1
        return self.revision

    async def seal(self, deployment: str, target_fpir: float) -> SealedList:
        calibration = self.calibrations.get(deployment)
        if calibration and not 0 < target_fpir < 1:
            raise Rejected(Reason.BAD_FIELD, "with a calibration, target_fpir is between 0 and 1")
        threshold = None
        if calibration:
            threshold = Threshold(self.score, self.score + 0.7, target_fpir, target_fpir < 1e-3, calibration.digest)
        self.sealed.add(deployment)
        self.revision += 1
        return SealedList(self.revision, len(self.entries.get(deployment, {})), "ab" * 32, threshold)

    async def calibrate(self, deployment: str, cohort: bytes, model_digest: str) -> Calibration | None:
        calibration = _told(cohort) if cohort else None
        if calibration and calibration.model_digest != model_digest:
            raise Rejected(Reason.MODEL_MISMATCH, "this cohort was made with another model")
        if calibration == self.calibrations.get(deployment):
            return calibration
        if self.entries.get(deployment):
            raise Rejected(Reason.LIST_NOT_EMPTY, "somebody is on the list")
        self.revision += 1
        if calibration:
            self.calibrations[deployment] = calibration
        else:
            del self.calibrations[deployment]
        return calibration

    async def forecast(
        self, deployment: str, *, footfall: int, list_size: int, target_fpir: float | None, score: float | None
    ) -> Forecast:
        calibration = self.calibrations.get(deployment)
        if calibration is None:
            raise Rejected(Reason.UNCALIBRATED, "no calibration is in force")
        size = list_size or sum(len(e.references) for e in self.entries.get(deployment, {}).values())
        if not size:
            raise Rejected(Reason.LIST_EMPTY, "the list has no entry: say how long it will be")
        rate = target_fpir or 0.02
        return Forecast(
            size,
            footfall,
            self.score if score is None else score,
            Expected(rate, rate / 2, rate * 2, extrapolated=False),
            Expected(rate * footfall, 0, rate * footfall * 2, extrapolated=False),
            Expected(0.11, 0.08, 0.15, extrapolated=False) if calibration.tells_misses else None,
            calibration,
        )


def _told(cohort: bytes) -> Calibration:
    if not cohort.startswith(b"COHORT"):
        raise Rejected(Reason.BAD_COHORT, "this is no cohort file: make it again with `overt calibrate`")
    return Calibration(
        digest=hashlib.sha256(cohort).hexdigest(),
        model_digest=cohort[6:].decode() or MODEL_DIGEST,
        people=992,
        templates=992,
        groups={"one": 500, "other": 492},
        source="nobody",
        legal_basis="none is needed",
        made_at=datetime(2026, 4, 1, tzinfo=UTC),
        best=50,
        a=1.5,
        b=0.0,
        tells_misses=True,
    )
