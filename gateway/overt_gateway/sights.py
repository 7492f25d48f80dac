"""What ingest last said of each camera. In memory, overwritten every second, never kept."""

from __future__ import annotations

from datetime import timedelta

from overt.reasons import Reason
from overt.runtime import Clock

from overt_gateway.domain import Deployment, State
from overt_gateway.ports import CameraState, Sight

SILENCE = timedelta(seconds=2.5)
"""Ingest speaks every second. Two and a half without a word: nobody looks through this camera."""
MOST_CAMERAS = 4096
"""Of all deployments of an operation together. What is beyond is not remembered while all of these speak."""


class Sights:
    """Implements the port `Cameras`; whoever listens to ingest calls `note`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[tuple[str, str], tuple[float, CameraState]] = {}

    def note(self, deployment: str, camera: str, state: CameraState) -> None:
        key = (deployment, camera)
        if key not in self._heard and len(self._heard) >= MOST_CAMERAS:
            self._forget_silent()
        if key in self._heard or len(self._heard) < MOST_CAMERAS:
            self._heard[key] = (self._clock.monotonic(), state)

    def forget(self, deployment: str) -> None:
        """It is over."""
        for key in [key for key in self._heard if key[0] == deployment]:
            del self._heard[key]

    def state_of(self, deployment: Deployment, camera: str) -> CameraState:
        """See the port."""
        heard = self._heard.get((deployment.deployment_id, camera))
        if heard is not None:
            at, state = heard
            if not self._is_silent(at):
                return state
        if deployment.state is State.ACTIVE:
            return CameraState(Sight.BLIND, Reason.INGEST_AWAY.value)
        return CameraState(Sight.CLOSED)

    def _is_silent(self, heard_at: float) -> bool:
        return self._clock.monotonic() - heard_at > SILENCE.total_seconds()

    def _forget_silent(self) -> None:
        """They are shown as if they had never been heard of."""
        for key in [key for key, (at, _) in self._heard.items() if self._is_silent(at)]:
            del self._heard[key]
