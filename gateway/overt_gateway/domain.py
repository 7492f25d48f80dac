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

from overt_gateway.aim import UNCALIBRATED, Aim, Threshold, one_in

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
    """Raw cosine, 0 if none was asked for; once started with a calibration, a normalised score."""
    alert_retention: timedelta
    sealing_public_key: bytes = field(repr=False)
    created_at: datetime
    created_by: str
    authority: str = UNAUTHORISED
    list_digest: str = ""
    list_size: int = 0
    calibration_digest: str = ""
    """Of the cohort in force; empty: scores are uncalibrated."""
    target_fpir: float = 0.0
    """What the threshold is, or is to be, made of; 0 if none was asked for."""
    under_18_threshold: float = 0.0
    """With a calibration only."""
    threshold_extrapolated: bool = False

    @property
    def uncalibrated(self) -> bool:
        """No calibration stands behind its scores and its threshold."""
        return not self.calibration_digest

    @property
    def has_threshold(self) -> bool:
        """Whether `threshold` means anything: with a calibration it is made when the list is sealed."""
        return bool(self.threshold) if self.uncalibrated else bool(self.list_digest)

    @property
    def calibration_words(self) -> str:
        """How far its scores can be relied on, for whatever is shown or printed of it."""
        if self.uncalibrated:
            return UNCALIBRATED
        beyond = ", beyond what the calibration saw" if self.threshold_extrapolated else ""
        return f"calibrated, target {one_in(self.target_fpir)}{beyond}"

    def camera(self, camera_id: str) -> Camera:
        """Rejected(UNKNOWN_CAMERA) if it is not registered here."""
        for camera in self.cameras:
            if camera.camera_id == camera_id:
                return camera
        raise Rejected(Reason.UNKNOWN_CAMERA, "no such camera in this deployment")

    def with_camera(self, camera: Camera) -> Deployment:
        """Cameras are part of what is authorised, so they are added to a draft only."""
        self._check_draft("cameras are added")
        if any(known.camera_id == camera.camera_id for known in self.cameras):
            raise Rejected(Reason.CONFLICT, f"camera {camera.camera_id} is already registered here")
        if len(self.cameras) >= MOST_CAMERAS:
            raise Rejected(Reason.BAD_FIELD, f"a deployment has at most {MOST_CAMERAS} cameras")
        return replace(self, cameras=(*self.cameras, camera))

    def aiming(self, aim: Aim) -> Deployment:
        """The draft with another aim. Rejected(WRONG_STATE) for a raw threshold while a calibration is in force."""
        self._check_draft("a threshold or target is changed")
        if not self.uncalibrated and not aim.target_fpir:
            raise Rejected(
                Reason.WRONG_STATE,
                "a calibration is in force, so scores are normalised and a raw threshold means nothing: give "
                "target_fpir, or take the calibration away first",
            )
        return replace(self, threshold=aim.threshold, target_fpir=aim.target_fpir)

    def check_calibratable(self, *, away: bool = False) -> None:
        """Rejected(WRONG_STATE) unless a calibration may be put in force for it, or be taken `away`. (Its list is
        checked by who can see it.)"""
        self._check_draft("a calibration is put in force or taken away")
        if not away and not self.target_fpir:
            raise Rejected(
                Reason.WRONG_STATE,
                f"this deployment was given a raw threshold ({self.threshold:.6g}), which means nothing once scores "
                "are normalised: give it a target_fpir first",
            )

    def calibrated(self, digest: str) -> Deployment:
        """The draft with that calibration in force, or none if empty. Rejected as `check_calibratable` says."""
        self.check_calibratable(away=not digest)
        return replace(self, calibration_digest=digest)

    def _check_draft(self, what: str) -> None:
        if self.state is not State.DRAFT:
            raise Rejected(Reason.WRONG_STATE, f"{what} in a draft; this deployment is {self.state.value}")

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

    def check_aim(self, *, calibrated: bool) -> None:
        """Rejected if what it asks for cannot be had with what is in force for its list."""
        if calibrated and not self.target_fpir:
            raise Rejected(
                Reason.WRONG_STATE,
                "a calibration is in force and this deployment was given a raw threshold: give it a target_fpir",
            )
        if not calibrated and not self.threshold:
            raise Rejected(
                Reason.UNCALIBRATED,
                f"this deployment aims at {one_in(self.target_fpir)} and no calibration is in force: put one in force "
                "before the list is imported, or give a raw threshold",
            )

    def started(self, *, list_digest: str, list_size: int, threshold: Threshold | None = None) -> Deployment:
        """Active with its sealed list. `threshold`: None without a calibration, then the raw one holds."""
        active = replace(self, state=State.ACTIVE, list_digest=list_digest, list_size=list_size)
        if threshold is None:
            return replace(active, calibration_digest="", target_fpir=0.0)
        return replace(
            active,
            threshold=threshold.score,
            under_18_threshold=threshold.under_18_score,
            target_fpir=threshold.target_fpir,
            threshold_extrapolated=threshold.extrapolated,
            calibration_digest=threshold.calibration_digest,
        )

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
