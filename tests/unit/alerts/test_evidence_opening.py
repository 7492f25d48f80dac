"""Opening sealed evidence: what is believed, and what is refused with which reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.crypto import sealing
from overt.errors import Rejected
from overt.reasons import Reason
from overt.subjects import EVIDENCE
from overt.wire import to_timestamp
from overt_alerts.adapters.evidence import MAX_CARD_BYTES, MAX_PICTURES_BYTES, opened
from overt_alerts.domain import Box, Part, Rival
from support.evidence import AT, RIVAL_REF, SUBJECT_REF, Sighted

pytestmark = pytest.mark.unit

PRIVATE, PUBLIC = sealing.generate_key_pair()
SIGHTED = Sighted(PUBLIC)


def refused(subject: str, data: bytes, private: bytes = PRIVATE) -> Reason:
    with pytest.raises(Rejected) as info:
        opened(subject, data, private)
    assert SUBJECT_REF not in str(info.value)
    return info.value.reason


def test_a_good_one() -> None:
    found = opened(SIGHTED.subject, SIGHTED.message().SerializeToString(), PRIVATE)
    assert found.alert_id == SIGHTED.alert_id
    assert found.card.subject_ref == SUBJECT_REF
    assert found.pictures == {
        Part.PROBE: SIGHTED.probe,
        Part.REFERENCE: SIGHTED.reference,
        Part.SCENE: SIGHTED.scene,
    }
    assert (found.first_captured_at, found.scene_face) == (AT, Box(10, 20, 30, 40))
    assert (found.score, found.threshold, found.uncalibrated) == (0.625, 0.5, True)


def test_an_ambiguous_one() -> None:
    both = Sighted(PUBLIC, rival="look-alike")
    found = opened(both.subject, both.message().SerializeToString(), PRIVATE)
    assert found.rival == Rival("look-alike", RIVAL_REF, "recall_to_prison", under_18=True)
    assert found.pictures[Part.RIVAL_REFERENCE] == both.rival_reference
    assert found.alert_id == SIGHTED.alert_id, "the alert is the first entry's"
    assert RIVAL_REF not in repr(found)


def _rival_of_nobody(inner: pb.Evidence) -> None:
    inner.sealed_rival_card = Sighted(PUBLIC, rival="").evidence().sealed_rival_card


def _rival_without_id(inner: pb.Evidence) -> None:
    card = pb.EntryCard(subject_ref=RIVAL_REF)
    inner.sealed_rival_card = sealing.seal(PUBLIC, card.SerializeToString())


def _rival_of_itself(inner: pb.Evidence) -> None:
    inner.sealed_rival_card = inner.sealed_entry_card


def _rival_unsealed(inner: pb.Evidence) -> None:
    inner.sealed_rival_card = Sighted(PUBLIC, rival="look-alike").rival_card().SerializeToString()


def _endless_rival(inner: pb.Evidence) -> None:
    inner.sealed_rival_card = bytes(MAX_CARD_BYTES + 1)


def _rival_not_said(inner: pb.Evidence) -> None:
    inner.ambiguous = False


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (_rival_of_nobody, Reason.BAD_MESSAGE),
        (_rival_without_id, Reason.BAD_MESSAGE),
        (_rival_of_itself, Reason.BAD_MESSAGE),
        (_rival_unsealed, Reason.BAD_MESSAGE),
        (_rival_not_said, Reason.BAD_MESSAGE),
        (_endless_rival, Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_said_of_the_other_entry_lies(lie: Callable[[pb.Evidence], None], reason: Reason) -> None:
    both = Sighted(PUBLIC, rival="look-alike")
    inner = both.evidence()
    lie(inner)
    assert refused(both.subject, both.message(inner).SerializeToString()) is reason


def test_the_evidence_id_follows_from_the_content() -> None:
    first, second = (opened(SIGHTED.subject, SIGHTED.message().SerializeToString(), PRIVATE) for _ in range(2))
    later = Sighted(PUBLIC, at=AT + timedelta(seconds=1))
    other = opened(later.subject, later.message().SerializeToString(), PRIVATE)
    assert first.evidence_id == second.evidence_id != other.evidence_id


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"not protobuf at all", bytes(1000)])
def test_noise(data: bytes) -> None:
    assert refused(SIGHTED.subject, data) is Reason.BAD_MESSAGE


def test_sealed_to_another_key() -> None:
    other, _ = sealing.generate_key_pair()
    assert refused(SIGHTED.subject, SIGHTED.message().SerializeToString(), other) is Reason.BAD_MESSAGE


def test_one_bit_changed() -> None:
    message = SIGHTED.message()
    message.sealed = message.sealed[:-1] + bytes([message.sealed[-1] ^ 1])
    assert refused(SIGHTED.subject, message.SerializeToString()) is Reason.BAD_MESSAGE


def test_larger_than_a_message() -> None:
    assert refused(SIGHTED.subject, bytes(1024 * 1024 + 1)) is Reason.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("subject", [EVIDENCE.of("market", "yard"), EVIDENCE.of("station", "gate")])
def test_the_subject_says_another_camera_or_deployment(subject: str) -> None:
    assert refused(subject, SIGHTED.message().SerializeToString()) is Reason.BAD_MESSAGE


@pytest.mark.parametrize("field", ["alert_id", "camera", "deployment"])
def test_the_envelope_lies(field: str) -> None:
    message = SIGHTED.message()
    setattr(message, field, "another")
    assert refused(SIGHTED.subject, message.SerializeToString()) is Reason.BAD_MESSAGE


def _card_of_another(inner: pb.Evidence) -> None:
    inner.sealed_entry_card = Sighted(PUBLIC, entry_id="another").evidence().sealed_entry_card


def _too_large(inner: pb.Evidence) -> None:
    inner.scene_jpeg = bytes(MAX_PICTURES_BYTES)


def _backwards(inner: pb.Evidence) -> None:
    inner.last_captured_at.CopyFrom(to_timestamp(AT - timedelta(seconds=1)))


def _at(year: int) -> Callable[[pb.Evidence], None]:
    def lie(inner: pb.Evidence) -> None:
        for captured in (inner.first_captured_at, inner.last_captured_at):
            captured.CopyFrom(to_timestamp(AT.replace(year=year)))

    return lie


def _card_unsealed(inner: pb.Evidence) -> None:
    inner.sealed_entry_card = SIGHTED.card().SerializeToString()


def _endless_text(inner: pb.Evidence) -> None:
    card = SIGHTED.card()
    card.reason = "x" * 2001
    inner.sealed_entry_card = sealing.seal(PUBLIC, card.SerializeToString())


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda e: setattr(e, "deployment", "station"), Reason.BAD_MESSAGE),
        (lambda e: setattr(e, "camera", "yard"), Reason.BAD_MESSAGE),
        (lambda e: setattr(e, "track", "stream-2"), Reason.BAD_MESSAGE),
        (lambda e: setattr(e, "track", ""), Reason.BAD_FIELD),
        (lambda e: setattr(e, "entry_id", "another"), Reason.BAD_MESSAGE),
        (lambda e: setattr(e, "score", float("nan")), Reason.BAD_MESSAGE),
        (lambda e: setattr(e.scene_face, "x", float("inf")), Reason.BAD_MESSAGE),
        (lambda e: e.ClearField("probe_jpeg"), Reason.BAD_MESSAGE),
        (lambda e: e.ClearField("scene_jpeg"), Reason.BAD_MESSAGE),
        (lambda e: e.ClearField("first_captured_at"), Reason.BAD_MESSAGE),
        (lambda e: e.ClearField("sealed_entry_card"), Reason.BAD_MESSAGE),
        (_backwards, Reason.BAD_MESSAGE),
        (_at(1), Reason.BAD_MESSAGE),
        (_at(9999), Reason.BAD_MESSAGE),
        (_card_of_another, Reason.BAD_MESSAGE),
        (_card_unsealed, Reason.BAD_MESSAGE),
        (_endless_text, Reason.BAD_MESSAGE),
        (_too_large, Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_inside_lies(lie: Callable[[pb.Evidence], None], reason: Reason) -> None:
    inner = SIGHTED.evidence()
    lie(inner)
    assert refused(SIGHTED.subject, SIGHTED.message(inner).SerializeToString()) is reason
