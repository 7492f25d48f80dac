"""Between match's protobuf messages and its domain. Whatever does not fit is Rejected here."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from overt.api.alerts.v1.alerts_pb2 import EntryCard
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.errors import Rejected
from overt.ids import EntryId, new_entry_id
from overt.limits import MAX_PROBES
from overt.reasons import Reason
from overt.scoring import Statistics
from overt.wire import (
    from_timestamp,
    optional_from_timestamp,
    template_from_bytes,
    template_to_bytes,
    to_timestamp,
)

from overt_match.checking import naming
from overt_match.domain import (
    Batch,
    Deployment,
    Entry,
    Head,
    Probe,
    Reference,
    State,
    Templates,
    Track,
)
from overt_match.wire_calibration import calibration_from, calibration_to

M = TypeVar("M", bound=Message)

_STATES = {
    control.Deployment.STATE_DRAFT: State.DRAFT,
    control.Deployment.STATE_SUBMITTED: State.SUBMITTED,
    control.Deployment.STATE_AUTHORISED: State.AUTHORISED,
    control.Deployment.STATE_REFUSED: State.REFUSED,
    control.Deployment.STATE_ACTIVE: State.ACTIVE,
    control.Deployment.STATE_SUSPENDED: State.SUSPENDED,
    control.Deployment.STATE_ENDED: State.ENDED,
    control.Deployment.STATE_PURGED: State.PURGED,
}


def deployment_from(data: bytes) -> Deployment:
    """From the bucket `deployments`. A state this version does not know is UNKNOWN, which searches nothing."""
    message = _parsed(control.Deployment, data)
    return Deployment(
        deployment_id=message.deployment_id,
        state=_STATES.get(message.state, State.UNKNOWN),
        threshold=message.threshold,
        sealing_public_key=message.sealing_public_key,
        starts_at=optional_from_timestamp(message.starts_at),
        ends_at=optional_from_timestamp(message.ends_at),
        calibration_digest=message.calibration_digest,
        under_18_threshold=message.under_18_threshold,
        target_fpir=message.target_fpir,
    )


def head_from(data: bytes) -> Head:
    """From the bucket `lists`."""
    message = _parsed(pb.ListHead, data)
    return Head(
        revision=message.revision,
        sealed=message.sealed,
        model_digest=message.model_digest,
        size=message.size,
        parts=tuple(message.parts),
        digest=message.digest,
        generation=message.generation,
        removed=tuple(_entry_id(b) for b in message.removed),
        erased=message.erased,
        destroyed=message.destroyed,
        calibration=calibration_from(message.calibration) if message.HasField("calibration") else None,
        calibration_part=message.calibration_part,
        cohort_to_erase=message.cohort_to_erase,
    )


def head_to(head: Head) -> pb.ListHead:
    return pb.ListHead(
        revision=head.revision,
        sealed=head.sealed,
        model_digest=head.model_digest,
        size=head.size,
        parts=head.parts,
        digest=head.digest,
        generation=head.generation,
        removed=[uuid.UUID(e).bytes for e in head.removed],
        erased=head.erased,
        destroyed=head.destroyed,
        calibration=calibration_to(head.calibration) if head.calibration else None,
        calibration_part=head.calibration_part,
        cohort_to_erase=head.cohort_to_erase,
    )


def imported(entries: Sequence[pb.Entry]) -> Batch:
    """What an ImportRequest brings, each entry with a new id. Rejected names the entry's position."""
    found: list[Entry] = []
    templates: list[Templates] = []
    for position, message in enumerate(entries):
        with naming(position):
            if message.entry_id:
                raise Rejected(Reason.BAD_FIELD, "entry_id is empty on import: the service makes it")
            if not message.HasField("expires_at"):
                raise Rejected(Reason.BAD_FIELD, "expires_at is missing")
            if any(reference.HasField("statistics") for reference in message.references):
                raise Rejected(Reason.BAD_FIELD, "statistics are absent on import: the service makes them")
            found.append(_entry(message, new_entry_id(), message.subject_ref.strip()))
            brought = _templates(message)
            if any(len(t) != len((templates or brought)[0]) for t in brought):
                raise Rejected(Reason.BAD_FIELD, "its templates are of another length than the ones before them")
            templates.extend(brought)
    return Batch(tuple(found), _rows(templates))


def batch_from(entries: Iterable[pb.Entry]) -> Batch:
    """What a part holds."""
    found: list[Entry] = []
    templates: list[Templates] = []
    known: list[tuple[float, float]] = []
    for message in entries:
        found.append(_entry(message, EntryId(message.entry_id), message.subject_ref))
        templates.extend(_templates(message))
        there = (r.statistics for r in message.references if r.HasField("statistics"))
        known.extend((s.mean, s.deviation) for s in there)
    if len({len(t) for t in templates}) > 1:
        raise Rejected(Reason.BAD_MESSAGE, "the part holds templates of different lengths")
    return Batch(tuple(found), _rows(templates), _statistics(known, len(templates)))


def entries_of(batch: Batch) -> Iterator[pb.Entry]:
    """What goes into a part."""
    known = iter(_statistics_of(batch))
    for entry, templates in batch.rows():
        yield pb.Entry(
            entry_id=entry.entry_id,
            subject_ref=entry.subject_ref,
            category=entry.category,
            legal_basis=entry.legal_basis,
            image_source=entry.image_source,
            reason=entry.reason,
            expires_at=to_timestamp(entry.expires_at),
            under_18=entry.under_18,
            references=[
                pb.Reference(template=template_to_bytes(template), jpeg=reference.jpeg, statistics=next(known))
                for reference, template in zip(entry.references, templates, strict=True)
            ],
        )


def summary(entry: Entry) -> pb.EntrySummary:
    return pb.EntrySummary(
        entry_id=entry.entry_id,
        subject_ref=entry.subject_ref,
        category=entry.category,
        expires_at=to_timestamp(entry.expires_at),
        under_18=entry.under_18,
        references=len(entry.references),
    )


def card(entry: Entry, reference_jpeg: bytes) -> EntryCard:
    """What people are shown at an alert. Seal it before it leaves."""
    return EntryCard(
        entry_id=entry.entry_id,
        subject_ref=entry.subject_ref,
        category=entry.category,
        legal_basis=entry.legal_basis,
        image_source=entry.image_source,
        reason=entry.reason,
        under_18=entry.under_18,
        reference_jpeg=reference_jpeg,
    )


def track(request: pb.SearchRequest) -> Track:
    """Rejected(BAD_MESSAGE) unless it holds 1 to 8 unit vectors of one length, each with its capture time."""
    if not 1 <= len(request.probes) <= MAX_PROBES:
        raise Rejected(Reason.BAD_MESSAGE, f"a search has 1 to {MAX_PROBES} probes")
    probes = tuple(Probe(template_from_bytes(p.template), from_timestamp(p.captured_at)) for p in request.probes)
    if len({len(p.template) for p in probes}) > 1:
        raise Rejected(Reason.BAD_MESSAGE, "the probes are of different lengths")
    return Track(request.deployment, request.model_digest, probes)


def _entry(message: pb.Entry, entry_id: EntryId, subject_ref: str) -> Entry:
    return Entry(
        entry_id=entry_id,
        subject_ref=subject_ref,
        category=message.category,
        legal_basis=message.legal_basis,
        image_source=message.image_source,
        reason=message.reason,
        expires_at=from_timestamp(message.expires_at),
        under_18=message.under_18,
        references=tuple(
            Reference(jpeg=r.jpeg, template_sha256=hashlib.sha256(r.template).digest()) for r in message.references
        ),
    )


def _templates(message: pb.Entry) -> list[Templates]:
    return [template_from_bytes(r.template) for r in message.references]


def _rows(templates: Sequence[Templates]) -> Templates:
    return np.stack(templates) if templates else np.empty((0, 0), dtype=np.float32)


def _statistics(known: Sequence[tuple[float, float]], count: int) -> Statistics | None:
    if not known:
        return None
    mean, deviation = np.array(known, dtype=np.float64).T
    if len(known) != count or not np.isfinite(mean).all() or not (deviation > 0).all():
        raise Rejected(Reason.BAD_MESSAGE, "the part holds statistics that are none")
    return Statistics(mean, deviation)


def _statistics_of(batch: Batch) -> Iterator[pb.CohortStatistics | None]:
    """Of each template."""
    if batch.statistics is None:
        yield from [None] * len(batch.templates)
        return
    for mean, deviation in zip(batch.statistics.mean.tolist(), batch.statistics.deviation.tolist(), strict=True):
        yield pb.CohortStatistics(mean=mean, deviation=deviation)


def _entry_id(data: bytes) -> EntryId:
    if len(data) != 16:
        raise Rejected(Reason.BAD_MESSAGE, "the id of a removed entry is 16 bytes")
    return EntryId(str(uuid.UUID(bytes=data)))


def _parsed(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Rejected(Reason.BAD_MESSAGE, f"this is no {kind.__name__}") from None
