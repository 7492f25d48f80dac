"""A deployment and its cameras, and what may become of them. Pure: no clock, no store, no wire.

Changes return a new value; who stores it decides on conflicts. What is not allowed is `Rejected`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from overt.errors import Rejected
from overt.reasons import Reason

UNAUTHORISED = "unauthorised: development"
"""What every deployment says it runs under until signed authorities exist."""

LONGEST_WINDOW = timedelta(hours=24)
DEFAULT_WINDOW = timedelta(hours=5)
LONGEST_AHEAD = timedelta(days=366)
"""A camera's token is good until the window closes: a window in decades would make one for decades."""
MOST_CAMERAS = 64

_ID_LENGTH = 40


class State(StrEnum):
    """Life of a deployment. Only draft, active and ended are reached today."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    AUTHORISED = "authorised"
    REFUSED = "refused"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"
    PURGED = "purged"

    @property
    def is_over(self) -> bool:
        """Nothing of it runs again."""
        return self in {State.REFUSED, State.ENDED, State.PURGED}


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of a deployment."""

    camera_id: str
    name: str
    source_url: str = field(default="", repr=False)
    """Empty: the camera pushes. May hold a password: never shown, never logged."""
    smallest_face_px: float = 0.0
    """0: the detector's default."""
    zone: tuple[tuple[float, float], ...] = ()
    """Polygon in fractions of width and height; empty: the whole picture."""

    @property
    def kind(self) -> Literal["push", "pull"]:
        return "pull" if self.source_url else "push"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One time-boxed run. `sealing_public_key` is public; there is no secret in here but the cameras' URLs."""

    deployment_id: str
    name: str
    state: State
    starts_at: datetime
    ends_at: datetime
    cameras: tuple[Camera, ...]
    threshold: float
    """Raw cosine."""
    alert_retention: timedelta
    sealing_public_key: bytes = field(repr=False)
    created_at: datetime
    created_by: str
    authority: str = UNAUTHORISED
    list_digest: str = ""
    list_size: int = 0

    def camera(self, camera_id: str) -> Camera:
        """Rejected(UNKNOWN_CAMERA) if it is not registered here."""
        for camera in self.cameras:
            if camera.camera_id == camera_id:
                return camera
        raise Rejected(Reason.UNKNOWN_CAMERA, "no such camera in this deployment")

    def with_camera(self, camera: Camera) -> Deployment:
        """Cameras are part of what is authorised, so they are added to a draft only."""
        if self.state is not State.DRAFT:
            raise Rejected(Reason.WRONG_STATE, f"cameras are added to a draft; this deployment is {self.state.value}")
        if any(known.camera_id == camera.camera_id for known in self.cameras):
            raise Rejected(Reason.CONFLICT, f"camera {camera.camera_id} is already registered here")
        if len(self.cameras) >= MOST_CAMERAS:
            raise Rejected(Reason.BAD_FIELD, f"a deployment has at most {MOST_CAMERAS} cameras")
        return replace(self, cameras=(*self.cameras, camera))

    def check_startable(self, now: datetime) -> None:
        """Rejected unless it may be started at this moment (its list is checked by who can see it)."""
        if self.state is not State.DRAFT:
            raise Rejected(Reason.WRONG_STATE, f"only a draft is started; this one is {self.state.value}")
        if not self.starts_at <= now < self.ends_at:
            raise Rejected(
                Reason.OUTSIDE_WINDOW,
                f"the window is {self.starts_at.isoformat()} to {self.ends_at.isoformat()}",
            )
        if not self.cameras:
            raise Rejected(Reason.NO_CAMERA, "register at least one camera first")

    def started(self, *, list_digest: str, list_size: int) -> Deployment:
        return replace(self, state=State.ACTIVE, list_digest=list_digest, list_size=list_size)

    def ended(self) -> Deployment:
        """Ending is never refused and may be repeated."""
        return self if self.state.is_over else replace(self, state=State.ENDED)


def window(now: datetime, starts_at: datetime | None, ends_at: datetime | None) -> tuple[datetime, datetime]:
    """The window asked for, completed: now to five hours later. Rejected(BAD_FIELD) if it cannot be run."""
    starts = starts_at or now
    if starts - now > LONGEST_AHEAD:
        raise Rejected(Reason.BAD_FIELD, f"a window starts at most {LONGEST_AHEAD.days} days from now")
    ends = ends_at or starts + DEFAULT_WINDOW
    if ends <= starts:
        raise Rejected(Reason.BAD_FIELD, "ends_at must be after starts_at")
    if ends - starts > LONGEST_WINDOW:
        raise Rejected(Reason.BAD_FIELD, "a window is at most 24 hours long")
    if ends <= now:
        raise Rejected(Reason.BAD_FIELD, "ends_at is in the past")
    return starts, ends


def slug(name: str) -> str:
    """An id made from a name: at most 40 lower-case letters, digits and hyphens. Rejected if nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_ID_LENGTH].strip("-")
    if not made:
        raise Rejected(Reason.BAD_FIELD, "no id can be made from this name: give one as `id`")
    return made
