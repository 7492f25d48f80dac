"""Between domain values and protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from google.protobuf.message import DecodeError
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.control.v1 import control_pb2
from overt.api.types.v1 import types_pb2
from overt.errors import Rejected
from overt.ids import AlertId
from overt.reasons import Reason
from overt.wire import from_duration, from_timestamp, optional_from_timestamp, to_timestamp

from overt_alerts.domain import (
    Alert,
    AlertChange,
    Box,
    Card,
    Change,
    EvidenceId,
    Part,
    Rival,
    Sighting,
    Tombstone,
    retention,
)

_KINDS = {
    Change.RAISED: pb.AlertEvent.KIND_RAISED,
    Change.SIGHTED_AGAIN: pb.AlertEvent.KIND_SIGHTED_AGAIN,
    Change.EXPIRED: pb.AlertEvent.KIND_EXPIRED,
}
_PARTS: dict[int, Part] = {
    pb.GetEvidenceRequest.PART_PROBE: Part.PROBE,
    pb.GetEvidenceRequest.PART_REFERENCE: Part.REFERENCE,
    pb.GetEvidenceRequest.PART_SCENE: Part.SCENE,
    pb.GetEvidenceRequest.PART_RIVAL_REFERENCE: Part.RIVAL_REFERENCE,
}


class Phase(StrEnum):
    """What a deployment's state means to alerts."""

    LIVE = "live"
    """Not over: its keys exist and its list secret is given out."""
    ENDED = "ended"
    """Its list is to be unreadable now; its alerts live on until their own expiry."""
    PURGED = "purged"
    """Nothing is to be left."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the control plane wants of one deployment."""

    deployment: str
    phase: Phase
    keep_for: timedelta


_PHASES = {
    control_pb2.Deployment.STATE_ENDED: Phase.ENDED,
    control_pb2.Deployment.STATE_PURGED: Phase.PURGED,
}


def wanted(key: str, value: bytes) -> Wanted:
    """A value of the bucket `deployments`; Rejected(BAD_MESSAGE) if it is not the deployment of its key."""
    message = control_pb2.Deployment()
    try:
        message.ParseFromString(value)
    except DecodeError:
        raise Rejected(Reason.BAD_MESSAGE, "this is not a deployment") from None
    if message.deployment_id != key:
        raise Rejected(Reason.BAD_MESSAGE, "a deployment under another one's key")
    return Wanted(key, _PHASES.get(message.state, Phase.LIVE), retention(from_duration(message.alert_retention)))


def part_of(part: int) -> Part:
    """Rejected(BAD_FIELD) for none or an unknown one."""
    if part not in _PARTS:
        raise Rejected(Reason.BAD_FIELD, "part: one of PART_PROBE, PART_REFERENCE, PART_SCENE, PART_RIVAL_REFERENCE")
    return _PARTS[part]


def event_message(change: AlertChange) -> pb.AlertEvent:
    return pb.AlertEvent(kind=_KINDS[change.change], alert=shown(change.what))


def shown(what: Alert | Tombstone) -> pb.Alert:
    """What clients see: of an expired alert its ids and times only."""
    if isinstance(what, Alert):
        return record_message(what)
    message = tombstone_message(what)
    message.ClearField("sightings")
    return message


def record_message(alert: Alert) -> pb.Alert:
    card, face = alert.card, alert.scene_face
    return pb.Alert(
        alert_id=alert.alert_id,
        deployment=alert.deployment,
        state=pb.Alert.STATE_OPEN,
        camera=alert.camera,
        entry_id=card.entry_id,
        subject_ref=card.subject_ref,
        category=card.category,
        reason=card.reason,
        legal_basis=card.legal_basis,
        under_18=card.under_18,
        score=alert.score,
        threshold=alert.threshold,
        uncalibrated=alert.uncalibrated,
        first_captured_at=to_timestamp(alert.first_captured_at),
        raised_at=to_timestamp(alert.raised_at),
        expires_at=to_timestamp(alert.expires_at),
        sightings=[
            pb.Sighting(
                evidence_id=s.evidence_id, camera=s.camera, captured_at=to_timestamp(s.captured_at), score=s.score
            )
            for s in alert.sightings
        ],
        scene_face=types_pb2.Box(x=face.x, y=face.y, width=face.width, height=face.height),
        traceparent=alert.traceparent,
        rival=_rival_message(alert.rival) if alert.rival else None,
    )


def record_from(data: bytes) -> Alert:
    """Of `record_message`; Rejected(BAD_MESSAGE)."""
    message = _alert(data)
    face = message.scene_face
    if not message.sightings:
        raise Rejected(Reason.BAD_MESSAGE, "an alert without a sighting")
    return Alert(
        alert_id=AlertId(message.alert_id),
        deployment=message.deployment,
        camera=message.camera,
        card=Card(
            entry_id=message.entry_id,
            subject_ref=message.subject_ref,
            category=message.category,
            legal_basis=message.legal_basis,
            reason=message.reason,
            under_18=message.under_18,
        ),
        score=message.score,
        threshold=message.threshold,
        uncalibrated=message.uncalibrated,
        first_captured_at=from_timestamp(message.first_captured_at),
        raised_at=from_timestamp(message.raised_at),
        expires_at=from_timestamp(message.expires_at),
        sightings=tuple(
            Sighting(EvidenceId(s.evidence_id), s.camera, from_timestamp(s.captured_at), s.score)
            for s in message.sightings
        ),
        scene_face=Box(face.x, face.y, face.width, face.height),
        traceparent=message.traceparent,
        rival=_rival(message.rival) if message.HasField("rival") else None,
    )


def _rival_message(rival: Rival) -> pb.Rival:
    return pb.Rival(
        entry_id=rival.entry_id, subject_ref=rival.subject_ref, category=rival.category, under_18=rival.under_18
    )


def _rival(message: pb.Rival) -> Rival:
    return Rival(message.entry_id, message.subject_ref, message.category, message.under_18)


def tombstone_message(tombstone: Tombstone) -> pb.Alert:
    message = pb.Alert(alert_id=tombstone.alert_id, deployment=tombstone.deployment, state=pb.Alert.STATE_EXPIRED)
    message.sightings.extend(pb.Sighting(evidence_id=e) for e in tombstone.evidence_ids)
    for field in ("first_captured_at", "raised_at", "expires_at"):
        if (at := getattr(tombstone, field)) is not None:
            getattr(message, field).CopyFrom(to_timestamp(at))
    return message


def tombstone_from(data: bytes) -> Tombstone:
    """Of `tombstone_message`; Rejected(BAD_MESSAGE)."""
    message = _alert(data)
    return Tombstone(
        alert_id=AlertId(message.alert_id),
        deployment=message.deployment,
        first_captured_at=optional_from_timestamp(message.first_captured_at),
        raised_at=optional_from_timestamp(message.raised_at),
        expires_at=optional_from_timestamp(message.expires_at),
        evidence_ids=tuple(EvidenceId(s.evidence_id) for s in message.sightings),
    )


def _alert(data: bytes) -> pb.Alert:
    message = pb.Alert()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise Rejected(Reason.BAD_MESSAGE, "this is not an alert") from None
    return message
