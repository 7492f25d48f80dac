"""What each camera tells the control room once a second."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from overt.reasons import Reason
from overt.runtime import Clock

from overt_ingest.camera import Camera
from overt_ingest.domain.sight import Sight


@dataclass(frozen=True, slots=True)
class Status:
    """One camera at one moment; the rates are of the time since the status before."""

    deployment: str
    camera: str
    sight: Sight
    reason: Reason | None
    frames_per_second: float
    analysed_per_second: float
    faces_seen: int
    frames_destroyed: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Mark:
    at: float
    entered: int
    analyses: int


class StatusBoard:
    """Remembers what rates are measured from."""

    def __init__(self, *, clock: Clock, cameras: Callable[[], Collection[Camera]]) -> None:
        self._clock = clock
        self._cameras = cameras
        self._marks: dict[Camera, _Mark] = {}

    def read(self) -> list[Status]:
        """All cameras, now; one that is gone since the last reading is told as closed once more."""
        cameras = self._cameras()
        keys = {(camera.spec.deployment, camera.spec.camera) for camera in cameras}
        gone = [c for c in self._marks if (c.spec.deployment, c.spec.camera) not in keys]
        statuses = [self.of(camera) for camera in (*gone, *cameras)]
        self._marks = {camera: mark for camera, mark in self._marks.items() if camera in cameras}
        return statuses

    def of(self, camera: Camera) -> Status:
        now = self._clock.monotonic()
        mark = _Mark(now, camera.frames.entered, camera.senses.analyses)
        before = self._marks.get(camera, _Mark(now, mark.entered, mark.analyses))
        self._marks[camera] = mark
        seconds = now - before.at
        closed = camera.closing.is_set()
        sight, reason = (Sight.CLOSED, None) if closed else camera.senses.sight(now)
        return Status(
            deployment=camera.spec.deployment,
            camera=camera.spec.camera,
            sight=sight,
            reason=reason,
            frames_per_second=(mark.entered - before.entered) / seconds if seconds > 0 else 0.0,
            analysed_per_second=(mark.analyses - before.analyses) / seconds if seconds > 0 else 0.0,
            faces_seen=camera.tracks.faces_seen,
            frames_destroyed=camera.frames.destroyed,
            at=self._clock.now(),
        )
