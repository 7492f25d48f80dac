"""What an alert is, when a sighting joins one, how long one lives. Pure: no I/O, no protobuf, no clock.

What names or describes a person (`subject_ref`, entry, camera, scores, pictures) is left out of every repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from overt.ids import AlertId

EvidenceId = NewType("EvidenceId", str)

DEFAULT_RETENTION = timedelta(hours=24)
"""What South Wales Police keep an alert for; the default when a deployment does not say."""
MAX_RETENTION = timedelta(days=31)
"""The longest any force keeps one (Met). The stream's own age limit is a day above it."""
DEFAULT_COOLDOWN = timedelta(seconds=60)
MAX_SIGHTINGS = 1000
"""Of one alert. Beyond it the oldest but the first go: an entry in view for hours must not outgrow a message."""


class Part(StrEnum):
    """The pictures of an alert; the value is the last token of the subject that holds it."""

    PROBE = "probe"
    REFERENCE = "reference"
    SCENE = "scene"
    RIVAL_REFERENCE = "rival_reference"
    """Of an ambiguous alert only."""


class Change(StrEnum):
    """What happened to an alert."""

    RAISED = "raised"
    SIGHTED_AGAIN = "sighted_again"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels of the scene, origin top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Card:
    """Who the entry is, as its list says: what match sealed so that ingest cannot read it."""

    entry_id: str = field(repr=False)
    subject_ref: str = field(repr=False)
    category: str = field(repr=False)
    legal_basis: str = field(repr=False)
    reason: str = field(repr=False)
    under_18: bool = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rival:
    """Another entry that is about as like: whoever looks at the alert is to see both."""

    entry_id: str = field(repr=False)
    subject_ref: str = field(repr=False)
    category: str = field(repr=False)
    under_18: bool = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence, opened and checked: this entry was agreed on by this track of this camera."""

    evidence_id: EvidenceId
    alert_id: AlertId
    deployment: str
    camera: str = field(repr=False)
    card: Card = field(repr=False)
    score: float = field(repr=False)
    threshold: float = field(repr=False)
    uncalibrated: bool = field(repr=False)
    first_captured_at: datetime = field(repr=False)
    scene_face: Box = field(repr=False)
    pictures: Mapping[Part, bytes] = field(repr=False)
    """JPEG each. A reference may be empty when the list had none."""
    rival: Rival | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One evidence message that is part of an alert."""

    evidence_id: EvidenceId
    camera: str = field(repr=False)
    captured_at: datetime = field(repr=False)
    score: float = field(repr=False)


@dataclass(frozen=True, slots=True)
class Alert:
    """An open alert, without its pictures. A claim to be checked, never an identification."""

    alert_id: AlertId
    deployment: str
    camera: str = field(repr=False)
    card: Card = field(repr=False)
    score: float = field(repr=False)
    threshold: float = field(repr=False)
    uncalibrated: bool = field(repr=False)
    first_captured_at: datetime = field(repr=False)
    raised_at: datetime
    expires_at: datetime
    sightings: tuple[Sighting, ...] = field(repr=False)
    """The first, then those that joined, in the order of their arrival. Never empty."""
    scene_face: Box = field(repr=False)
    traceparent: str = field(repr=False)
    rival: Rival | None = field(default=None, repr=False)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The pictures there are of it."""
        return tuple(part for part in Part if part is not Part.RIVAL_REFERENCE or self.rival is not None)

    def is_open(self, now: datetime) -> bool:
        """False from `expires_at` on, whether or not its key is destroyed yet."""
        return now < self.expires_at

    def holds(self, evidence_id: EvidenceId) -> bool:
        return any(s.evidence_id == evidence_id for s in self.sightings)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of an expired alert: that there was one, and when. Nothing of a person.

    `evidence_ids` keeps a late redelivery from raising it again. Times are None when the process was killed
    between the destruction of the key and the writing of the tombstone: nobody could read them any more.
    """

    alert_id: AlertId
    deployment: str
    first_captured_at: datetime | None = None
    raised_at: datetime | None = None
    expires_at: datetime | None = None
    evidence_ids: tuple[EvidenceId, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What a watcher is told."""

    change: Change
    what: Alert | Tombstone


def retention(asked: timedelta) -> timedelta:
    """How long alerts of a deployment live: what it asks for, the default when it does not, never above the most."""
    return min(asked, MAX_RETENTION) if asked > timedelta(0) else DEFAULT_RETENTION


def raised(finding: Finding, *, now: datetime, keep_for: timedelta, traceparent: str) -> Alert:
    """A new alert of this finding."""
    return Alert(
        alert_id=finding.alert_id,
        deployment=finding.deployment,
        camera=finding.camera,
        card=finding.card,
        score=finding.score,
        threshold=finding.threshold,
        uncalibrated=finding.uncalibrated,
        first_captured_at=finding.first_captured_at,
        raised_at=now,
        expires_at=now + keep_for,
        sightings=(_sighting(finding),),
        scene_face=finding.scene_face,
        traceparent=traceparent,
        rival=finding.rival,
    )


def takes(alert: Alert, finding: Finding, *, now: datetime, cooldown: timedelta) -> bool:
    """Whether the finding is another sighting in this alert rather than a new one.

    By capture time, since that is when the person was there: less than `cooldown` after the last sighting, or
    before the first one when messages overtook each other. An alert's own id always joins: it cannot be raised
    twice.
    """
    if not alert.is_open(now) or alert.deployment != finding.deployment:
        return False
    if alert.alert_id == finding.alert_id:
        return True
    if alert.card.entry_id != finding.card.entry_id:
        return False
    seen = [s.captured_at for s in alert.sightings]
    return min(seen) - cooldown < finding.first_captured_at < max(seen) + cooldown


def joined(alert: Alert, finding: Finding) -> Alert:
    """The alert with one more sighting. Its expiry does not move: being seen again extends nothing."""
    first, *later = alert.sightings
    later = [*later, _sighting(finding)][-(MAX_SIGHTINGS - 1) :]
    return replace(alert, sightings=(first, *later))


def buried(alert: Alert) -> Tombstone:
    """What may stay after its expiry."""
    return Tombstone(
        alert_id=alert.alert_id,
        deployment=alert.deployment,
        first_captured_at=alert.first_captured_at,
        raised_at=alert.raised_at,
        expires_at=alert.expires_at,
        evidence_ids=tuple(s.evidence_id for s in alert.sightings),
    )


def _sighting(finding: Finding) -> Sighting:
    return Sighting(finding.evidence_id, finding.camera, finding.first_captured_at, finding.score)
