"""The contract table of the bus: which subject carries which message, where it is kept, who may touch it.

Everything that names a NATS subject, stream, bucket or permission gets it from here. What is kept at all is
kept per deployment, so that erasing a deployment is a whole-stream purge; alerts is the one service that may
create, purge or erase. `search`, `status` and `preview` live on core NATS only: nothing of a passer-by reaches
a broker's disk. A test checks that no stream's subjects overlap theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from overt.errors import Rejected
from overt.reasons import Reason

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")

MAX_MESSAGE_BYTES = 1024 * 1024
"""NATS' own default payload limit. Evidence (512 kB) and a list object's chunk (128 kB) fit below it."""


class Service(StrEnum):
    """Who holds a user on the bus."""

    INGEST = "ingest"
    DETECT = "detect"
    MATCH = "match"
    ALERTS = "alerts"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class CoreSubject:
    """Carried by core NATS: delivered to who listens, never stored."""

    prefix: str
    message: str
    publishers: frozenset[Service]
    subscribers: frozenset[Service]
    reply: str | None = None
    queue: str | None = None

    def of(self, deployment: str, *rest: str) -> str:
        """The subject for one deployment (and camera)."""
        return ".".join((self.prefix, checked_id(deployment), *(checked_id(r) for r in rest)))

    @property
    def every(self) -> str:
        return f"{self.prefix}.>"


@dataclass(frozen=True, slots=True)
class StreamSubject:
    """Kept by JetStream in one stream a deployment."""

    prefix: str
    message: str
    stream_prefix: str
    publishers: frozenset[Service]
    readers: frozenset[Service]
    max_age: timedelta
    max_bytes: int
    latest_only: bool = False

    def of(self, deployment: str, *rest: str) -> str:
        return ".".join((self.prefix, checked_id(deployment), *rest))

    def stream(self, deployment: str) -> str:
        """The stream's name."""
        return f"{self.stream_prefix}_{checked_id(deployment)}"

    def all_of(self, deployment: str) -> str:
        return f"{self.prefix}.{checked_id(deployment)}.>"

    @property
    def every(self) -> str:
        return f"{self.prefix}.>"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A KV bucket of the whole operation. Never holds biometrics or names."""

    name: str
    message: str
    writers: frozenset[Service]
    readers: frozenset[Service]
    own_keys: bool = False
    """Each writer may write only keys that begin with its name and a dot."""

    def writers_of(self, key: str) -> frozenset[Service]:
        return frozenset(w for w in self.writers if not self.own_keys or key.startswith(f"{w.value}."))


def checked_id(value: str) -> str:
    """A deployment's or camera's id, fit to be part of a subject; else Rejected(BAD_FIELD)."""
    if not _ID.fullmatch(value):
        raise Rejected(
            Reason.BAD_FIELD,
            "an id is 1 to 40 lower-case letters, digits and hyphens, and starts and ends with a letter or digit",
        )
    return value


def list_objects_bucket(deployment: str) -> str:
    """The object store that holds a deployment's sealed list."""
    return f"list_{checked_id(deployment)}"


_INGEST, _MATCH, _ALERTS, _GATEWAY = (
    frozenset({s}) for s in (Service.INGEST, Service.MATCH, Service.ALERTS, Service.GATEWAY)
)

SEARCH = CoreSubject(
    prefix="overt.search",
    message="overt.api.match.v1.SearchRequest",
    reply="overt.api.match.v1.SearchReply",
    queue="match",
    publishers=_INGEST,
    subscribers=_MATCH,
)
STATUS = CoreSubject(
    prefix="overt.status",
    message="overt.api.ingest.v1.CameraStatus",
    publishers=_INGEST,
    subscribers=_GATEWAY,
)
PREVIEW = CoreSubject(
    prefix="overt.preview",
    message="image/jpeg, every face masked",
    publishers=_INGEST,
    subscribers=_GATEWAY,
)
EVIDENCE = StreamSubject(
    prefix="overt.evidence",
    message="overt.api.alerts.v1.SealedEvidence",
    stream_prefix="EVIDENCE",
    publishers=_INGEST,
    readers=_ALERTS,
    # alerts erases each message once it is re-sealed; the age only bounds what a dead alerts leaves lying.
    max_age=timedelta(hours=24),
    max_bytes=512 * 1024 * 1024,
)
ALERT = StreamSubject(
    prefix="overt.alert",
    message="bytes sealed under the alert's own key: overt.api.alerts.v1.Alert, and each picture",
    stream_prefix="ALERTS",
    publishers=_ALERTS,
    readers=_ALERTS,
    # The longest retention there is, and a day in which the expiry itself may be late.
    max_age=timedelta(days=32),
    max_bytes=2 * 1024 * 1024 * 1024,
    latest_only=True,
)
LEDGER = StreamSubject(
    prefix="overt.ledger",
    message="overt.api.ingest.v1.LedgerReceipt",
    stream_prefix="LEDGER",
    publishers=_INGEST,
    readers=_INGEST | _GATEWAY,
    max_age=timedelta(0),
    # A receipt counts from the beginning of its epoch, which has a subject of its own: only the newest says anything.
    max_bytes=64 * 1024 * 1024,
    latest_only=True,
)
DEAD = StreamSubject(
    prefix="overt.dead",
    message="JSON: subject, reason code, when. Never the message.",
    stream_prefix="DEAD",
    publishers=_ALERTS,
    readers=_ALERTS,
    max_age=timedelta(days=7),
    max_bytes=8 * 1024 * 1024,
)
DEPLOYMENTS = Bucket(
    name="deployments",
    message="overt.api.control.v1.Deployment",
    writers=_GATEWAY,
    readers=_INGEST | _MATCH | _ALERTS | _GATEWAY,
)
LISTS = Bucket(
    name="lists",
    message="overt.api.match.v1.ListHead",
    writers=_MATCH,
    readers=_MATCH | _ALERTS,
)
LIVES = Bucket(
    name="lives",
    message="overt.api.control.v1.ServiceLife",
    writers=_MATCH | _ALERTS,
    readers=_INGEST | _MATCH | _ALERTS,
    own_keys=True,
)

CORE: tuple[CoreSubject, ...] = (SEARCH, STATUS, PREVIEW)
STREAMS: tuple[StreamSubject, ...] = (EVIDENCE, ALERT, LEDGER, DEAD)
BUCKETS: tuple[Bucket, ...] = (DEPLOYMENTS, LISTS, LIVES)
