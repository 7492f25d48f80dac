"""Opens sealed evidence and believes nothing in it that does not agree with everything else.

Whoever holds a deployment's public key can seal, so the seal says nothing about the sender. What says something is
the subject, which only ingest may publish on, and the alert id, which is a function of what is inside.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from overt import ids
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.types.v1 import types_pb2
from overt.crypto import sealing
from overt.errors import Rejected
from overt.ids import AlertId
from overt.reasons import Reason
from overt.subjects import EVIDENCE, MAX_MESSAGE_BYTES
from overt.wire import from_timestamp

from overt_alerts.domain import Box, Card, EvidenceId, Finding, Part, Rival

M = TypeVar("M", bound=Message)

MAX_PICTURES_BYTES = 512 * 1024
"""Probe and scene together: what ingest scales a scene to."""
MAX_CARD_BYTES = 256 * 1024
"""An entry card with its reference picture of at most 320 px; many times what such a JPEG takes."""
MAX_TEXT = 2000
"""Characters of any text of an entry. The list's own limits are below it."""

EARLIEST, LATEST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Of a capture. From the first minute of the calendar no cooldown can be taken off: one such sighting, once taken in,
would make every later one of its entry fail."""


def opened(subject: str, data: bytes, private_key: bytes) -> Finding:
    """The finding in a message of EVIDENCE_<deployment>, both seals opened. Rejected(BAD_MESSAGE) or
    Rejected(MESSAGE_TOO_LARGE) for anything that does not fit together."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, "evidence is at most one message of the bus")
    outer = _parsed(pb.SealedEvidence(), data, "sealed evidence")
    inner = _parsed(pb.Evidence(), sealing.unseal(private_key, outer.sealed), "evidence")
    if not subject == _subject(outer) == _subject(inner):
        raise _bad("deployment and camera of subject, message and evidence are not the same")
    alert_id = ids.alert_id(inner.deployment, inner.camera, inner.track, inner.entry_id)
    if outer.alert_id != alert_id:
        raise _bad("the alert id does not follow from the evidence")
    _check_sizes(inner)
    card = _card(inner.sealed_entry_card, private_key)
    if card.entry_id != inner.entry_id:
        raise _bad("the card is of another entry than the evidence")
    rival = _rival(inner, private_key)
    first, last = from_timestamp(inner.first_captured_at), from_timestamp(inner.last_captured_at)
    if last < first:
        raise _bad("the last shot was captured before the first")
    if not EARLIEST <= first <= last <= LATEST:
        raise _bad("the shots were captured in another age")
    return Finding(
        evidence_id=evidence_id(alert_id, first),
        alert_id=alert_id,
        deployment=inner.deployment,
        camera=inner.camera,
        card=Card(
            entry_id=card.entry_id,
            subject_ref=card.subject_ref,
            category=card.category,
            legal_basis=card.legal_basis,
            reason=card.reason,
            under_18=card.under_18,
        ),
        score=_number(inner.score),
        threshold=_number(inner.threshold),
        uncalibrated=inner.uncalibrated,
        first_captured_at=first,
        scene_face=_box(inner.scene_face),
        pictures={
            Part.PROBE: inner.probe_jpeg,
            Part.REFERENCE: card.reference_jpeg,
            Part.SCENE: inner.scene_jpeg,
        }
        | ({Part.RIVAL_REFERENCE: rival.reference_jpeg} if rival else {}),
        rival=Rival(rival.entry_id, rival.subject_ref, rival.category, rival.under_18) if rival else None,
    )


def evidence_id(alert_id: AlertId, first_captured_at: datetime) -> EvidenceId:
    """The same sighting always gets the same id, sealed and sent however often."""
    return EvidenceId(f"{alert_id}@{first_captured_at.isoformat()}")


def _parsed(into: M, data: bytes, what: str) -> M:
    try:
        into.ParseFromString(data)
    except DecodeError:
        raise _bad(f"this is not {what}") from None
    return into


def _subject(message: pb.SealedEvidence | pb.Evidence) -> str:
    return EVIDENCE.of(message.deployment, message.camera)


def _check_sizes(inner: pb.Evidence) -> None:
    if not inner.probe_jpeg or not inner.scene_jpeg:
        raise _bad("evidence without its pictures")
    if len(inner.probe_jpeg) + len(inner.scene_jpeg) > MAX_PICTURES_BYTES:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, f"probe and scene have at most {MAX_PICTURES_BYTES} bytes together")
    if max(len(inner.sealed_entry_card), len(inner.sealed_rival_card)) > MAX_CARD_BYTES:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, f"an entry card has at most {MAX_CARD_BYTES} bytes")


def _card(sealed: bytes, private_key: bytes) -> pb.EntryCard:
    card = _parsed(pb.EntryCard(), sealing.unseal(private_key, sealed), "an entry card")
    texts = (card.subject_ref, card.category, card.legal_basis, card.reason)
    if any(len(text) > MAX_TEXT for text in texts):
        raise _bad(f"a text of an entry card is longer than {MAX_TEXT} characters")
    return card


def _rival(inner: pb.Evidence, private_key: bytes) -> pb.EntryCard | None:
    if inner.ambiguous != bool(inner.sealed_rival_card):
        raise _bad("ambiguous evidence comes with the card of another entry, and no other evidence does")
    if not inner.ambiguous:
        return None
    card = _card(inner.sealed_rival_card, private_key)
    if not card.entry_id or card.entry_id == inner.entry_id:
        raise _bad("the other entry of ambiguous evidence is none, or the same one")
    return card


def _box(box: types_pb2.Box) -> Box:
    return Box(_number(box.x), _number(box.y), _number(box.width), _number(box.height))


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise _bad("a number is not finite")
    return value


def _bad(message: str) -> Rejected:
    return Rejected(Reason.BAD_MESSAGE, message)
