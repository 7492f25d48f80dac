"""Between match's messages about lists and their calibration, and the gateway's own words."""

from __future__ import annotations

from overt.api.match.v1 import match_pb2
from overt.wire import optional_from_timestamp, to_timestamp

from overt_gateway.adapters.wire import NEVER
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


def to_entry(entry: NewEntry) -> match_pb2.Entry:
    return match_pb2.Entry(
        subject_ref=entry.subject_ref,
        category=entry.category,
        legal_basis=entry.legal_basis,
        image_source=entry.image_source,
        reason=entry.reason,
        expires_at=to_timestamp(entry.expires_at),
        under_18=entry.under_18,
        references=[match_pb2.Reference(template=r.template, jpeg=r.jpeg) for r in entry.references],
    )


def from_list(message: match_pb2.ListReply) -> ListView:
    return ListView(
        revision=message.revision,
        sealed=message.sealed,
        model_digest=message.model_digest,
        entries=tuple(
            EntrySummary(
                entry_id=entry.entry_id,
                subject_ref=entry.subject_ref,
                category=entry.category,
                expires_at=optional_from_timestamp(entry.expires_at) or NEVER,
                under_18=entry.under_18,
                references=entry.references,
            )
            for entry in message.entries
        ),
        calibration=from_calibration(message.calibration) if message.HasField("calibration") else None,
    )


def from_added(message: match_pb2.ImportReply) -> Added:
    return Added(
        message.revision,
        message.size,
        tuple(NearDuplicate(near.position, near.entry_id, near.cosine) for near in message.near_duplicates),
    )


def from_sealed(message: match_pb2.SealReply) -> SealedList:
    of = message.threshold
    threshold = None
    if message.HasField("threshold"):
        threshold = Threshold(of.score, of.under_18_score, of.target_fpir, of.extrapolated, of.calibration_digest)
    return SealedList(message.revision, message.size, message.digest, threshold)


def from_calibration(message: match_pb2.Calibration) -> Calibration:
    return Calibration(
        digest=message.digest,
        model_digest=message.model_digest,
        people=message.people,
        templates=message.templates,
        groups=dict(message.groups),
        source=message.source,
        legal_basis=message.legal_basis,
        made_at=optional_from_timestamp(message.made_at) or NEVER,
        best=message.best,
        a=message.a,
        b=message.b,
        tells_misses=message.tells_misses,
    )


def from_forecast(message: match_pb2.ForecastReply) -> Forecast:
    return Forecast(
        list_size=message.list_size,
        footfall=message.footfall,
        score=message.score,
        fpir=_expected(message.fpir),
        false_alerts=_expected(message.false_alerts),
        missed=_expected(message.missed) if message.HasField("missed") else None,
        calibration=from_calibration(message.calibration),
    )


def _expected(message: match_pb2.ExpectedRate) -> Expected:
    return Expected(message.value, message.low, message.high, message.extrapolated)
