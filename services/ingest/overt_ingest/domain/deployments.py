"""Which cameras should be open now: the desired state that ingest reconciles itself with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from overt.errors import Rejected
from overt.reasons import Reason


class State(StrEnum):
    """Of a deployment, as far as ingest cares: everything else is closed."""

    ACTIVE = "active"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera as the deployment describes it. The URL may hold a password: it never shows."""

    deployment: str
    camera: str
    source_url: str = field(default="", repr=False)
    smallest_face_px: float = 0.0
    zone: tuple[tuple[float, float], ...] = ()
    sealing_public_key: bytes = field(default=b"", repr=False)

    @property
    def pulls(self) -> bool:
        return bool(self.source_url)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What ingest needs of one. The window is [starts_at, ends_at)."""

    deployment: str
    state: State
    starts_at: datetime
    ends_at: datetime
    cameras: tuple[CameraSpec, ...] = ()

    def in_window(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at

    def open_at(self, now: datetime) -> bool:
        return self.state is State.ACTIVE and self.in_window(now)


def wanted(deployments: Iterable[Deployment], now: datetime) -> dict[tuple[str, str], CameraSpec]:
    """The cameras that should be open, by (deployment, camera)."""
    return {(c.deployment, c.camera): c for d in deployments if d.open_at(now) for c in d.cameras}


def next_change(deployments: Iterable[Deployment], now: datetime) -> datetime | None:
    """When the clock alone will change what is wanted."""
    edges = [t for d in deployments if d.state is State.ACTIVE for t in (d.starts_at, d.ends_at) if t > now]
    return min(edges, default=None)


def check_visit(deployments: Mapping[str, Deployment], deployment: str, camera: str, now: datetime) -> CameraSpec:
    """The camera that somebody wants to push to, or Rejected with what is wrong."""
    found = deployments.get(deployment)
    if found is None:
        raise Rejected(Reason.UNKNOWN_DEPLOYMENT, "there is no such deployment here")
    spec = next((c for c in found.cameras if c.camera == camera), None)
    if spec is None:
        raise Rejected(Reason.UNKNOWN_CAMERA, "this camera is not registered in the deployment")
    if found.state is not State.ACTIVE:
        raise Rejected(Reason.WRONG_STATE, "the deployment is not active")
    if not found.in_window(now):
        raise Rejected(Reason.OUTSIDE_WINDOW, "it is outside the deployment's window")
    if spec.pulls:
        raise Rejected(Reason.CAMERA_BUSY, "this camera is pulled from its source: it cannot push as well")
    return spec
