"""What the gateway needs of its peers, in its own words. `adapters` speaks to the real ones, `testing` pretends.

Every method raises `Retryable` when the peer is away and `Rejected` with a reason when it says no.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from overt_gateway.aim import Threshold
from overt_gateway.domain import Deployment


@dataclass(frozen=True, slots=True)
class Versioned:
    """A deployment as stored, with the store's revision of it: the ETag."""

    deployment: Deployment
    revision: int


class Deployments(Protocol):
    """The record of deployments. The gateway is its only writer."""

    async def get(self, deployment: str) -> Versioned | None: ...

    async def all(self) -> Sequence[Versioned]:
        """Newest first. May be a moment behind another gateway's writes, never behind one's own."""
        ...

    async def create(self, deployment: Deployment) -> Versioned:
        """Rejected(CONFLICT) if the id was ever used."""
        ...

    async def replace(self, deployment: Deployment, revision: int) -> Versioned:
        """Rejected(CONFLICT) if it has changed since `revision`."""
        ...


class Keys(Protocol):
    async def prepare(self, deployment: str) -> bytes:
        """Makes keys and streams, idempotent; the public sealing key, 32 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """A usable reference picture. Biometric: passed on, never kept."""

    template: bytes = field(repr=False)
    jpeg: bytes = field(repr=False)


class Enroller(Protocol):
    async def enrol(self, image: bytes) -> Reference:
        """Rejected with a quality reason if the picture cannot serve."""
        ...

    async def model_digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What goes on a list."""

    subject_ref: str = field(repr=False)
    category: str
    legal_basis: str = field(repr=False)
    image_source: str = field(repr=False)
    reason: str = field(repr=False)
    expires_at: datetime
    under_18: bool
    references: tuple[Reference, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """An entry without its biometrics."""

    entry_id: str
    subject_ref: str = field(repr=False)
    category: str
    expires_at: datetime
    under_18: bool
    references: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What may be told of a cohort: no biometrics. `digest`: of the file. `groups`: people by label. `best`, `a`, `b`:
    how scores are normalised (overt.scoring)."""

    digest: str
    model_digest: str
    people: int
    templates: int
    groups: Mapping[str, int]
    source: str
    legal_basis: str
    made_at: datetime
    best: int
    a: float
    b: float
    tells_misses: bool


@dataclass(frozen=True, slots=True)
class ListView:
    revision: int
    sealed: bool
    model_digest: str
    entries: tuple[EntrySummary, ...]
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """An entry that may be the same person as another one. `position`: in what was added. `entry_id`: the other one."""

    position: int
    entry_id: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Added:
    """`size`: of the whole list."""

    revision: int
    size: int
    near_duplicates: tuple[NearDuplicate, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedList:
    """`threshold`: None without a calibration."""

    revision: int
    size: int
    digest: str
    threshold: Threshold | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """A number or a rate to be expected, with its 95 % interval."""

    value: float
    low: float
    high: float
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a calibration lets expect. `list_size`: references. `missed`: None if misses are not known."""

    list_size: int
    footfall: int
    score: float
    fpir: Expected
    false_alerts: Expected
    missed: Expected | None
    calibration: Calibration


class Watchlists(Protocol):
    """The list of a deployment, and the calibration that is in force for it."""

    async def add(self, deployment: str, model_digest: str, entries: Sequence[NewEntry]) -> Added:
        """All of them or, with Rejected, none."""
        ...

    async def read(self, deployment: str) -> ListView: ...

    async def remove(self, deployment: str, entry_id: str) -> int:
        """The new revision."""
        ...

    async def seal(self, deployment: str, target_fpir: float) -> SealedList:
        """`target_fpir` counts with a calibration, and is above 0 then."""
        ...

    async def calibrate(self, deployment: str, cohort: bytes, model_digest: str) -> Calibration | None:
        """Puts a cohort in force while nobody is on the list, or none if it is empty. `model_digest`: of the model
        that makes the list's templates."""
        ...

    async def forecast(
        self, deployment: str, *, footfall: int, list_size: int, target_fpir: float | None, score: float | None
    ) -> Forecast:
        """`list_size` 0: of the list as it is. Of target and score at most one; neither: the threshold that the
        deployment was started with. Rejected(UNCALIBRATED)."""
        ...


class Part(StrEnum):
    """The pictures of an alert."""

    PROBE = "probe"
    REFERENCE = "reference"
    SCENE = "scene"
    RIVAL_REFERENCE = "rival_reference"
    """Of an ambiguous alert only."""


@dataclass(frozen=True, slots=True)
class Sighting:
    camera: str
    captured_at: datetime
    score: float


@dataclass(frozen=True, slots=True)
class Rival:
    """The other entry of an ambiguous alert."""

    entry_id: str = field(repr=False)
    subject_ref: str = field(repr=False)
    category: str = field(repr=False)
    under_18: bool = field(repr=False)


@dataclass(frozen=True, slots=True)
class Alert:
    """A claim to be checked, never an identification. Score and threshold are raw cosines while uncalibrated."""

    alert_id: str
    deployment: str
    state: str
    """`open`, or `expired`: then only ids and times are left."""
    camera: str
    entry_id: str
    subject_ref: str = field(repr=False)
    category: str
    reason: str = field(repr=False)
    legal_basis: str = field(repr=False)
    under_18: bool
    score: float
    threshold: float
    uncalibrated: bool
    first_captured_at: datetime
    raised_at: datetime
    expires_at: datetime
    sightings: tuple[Sighting, ...] = ()
    scene_face: tuple[float, float, float, float] | None = None
    """x, y, width, height in pixels of the scene picture."""
    traceparent: str = ""
    rival: Rival | None = None
    """Another entry is about as like: whoever looks is to see both."""

    @property
    def pictures(self) -> tuple[Part, ...]:
        """What there is of it, as long as it is open."""
        return tuple(part for part in Part if part is not Part.RIVAL_REFERENCE or self.rival is not None)


@dataclass(frozen=True, slots=True)
class AlertEvent:
    kind: str
    """`raised`, `sighted_again` or `expired`."""
    alert: Alert


class Alerts(Protocol):
    async def all(self, deployment: str) -> Sequence[Alert]: ...

    async def get(self, deployment: str, alert_id: str) -> Alert:
        """Rejected(UNKNOWN_ALERT)."""
        ...

    async def evidence(self, deployment: str, alert_id: str, part: Part) -> bytes:
        """JPEG. Rejected(EXPIRED) once its key is destroyed."""
        ...

    def watch(self, deployment: str) -> AsyncIterator[AlertEvent]:
        """What is there, then every change. Retryable when alerts goes away."""
        ...


class Sight(StrEnum):
    """Whether a camera is looked through, in one word."""

    WAITING = "waiting"
    SEEING = "seeing"
    BLIND = "blind"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CameraState:
    """What ingest last said of a camera."""

    sight: Sight
    reason: str = ""
    frames_per_second: float = 0.0
    analysed_per_second: float = 0.0
    faces_seen: int = 0
    frames_destroyed: int = 0
    at: datetime | None = None


class Cameras(Protocol):
    def state_of(self, deployment: Deployment, camera: str) -> CameraState:
        """Never blocks. A camera nobody reports is blind while its deployment is active, closed otherwise."""
        ...


class Ledgers(Protocol):
    async def read(self, deployment: str) -> Mapping[str, Any]:
        """The merged ledger in the shape of `overt.ledger`, plus `cameras`: the same for each one."""
        ...
