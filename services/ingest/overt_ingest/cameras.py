"""Opens and closes cameras until what is open is what the deployments and the clock want."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock
from overt.runtime.waiting import set_within
from overt.telemetry import Metric, gauge, get_logger

from overt_ingest.camera import Camera, Visit
from overt_ingest.domain.deployments import CameraSpec, Deployment, check_visit, next_change, wanted
from overt_ingest.opening import Opening

log = get_logger(__name__)

_AGAIN_FIRST_S = 1.0
_AGAIN_MOST_S = 30.0
_STEADY_S = 60.0

_LONGEST_NAP_S = 1.0
"""The wall clock may be set while we sleep: the window is looked at again this often whatever happens."""


class _Keeper:
    """Keeps one camera open until it is let go of: a defect closes it, and it is opened again."""

    def __init__(self, spec: CameraSpec, *, open_camera: Callable[[CameraSpec], Opening], clock: Clock) -> None:
        self.spec = spec
        self.opening = open_camera(spec)
        self.task: asyncio.Task[None] | None = None
        self._open_camera = open_camera
        self._clock = clock
        self._let_go = asyncio.Event()

    def let_go(self) -> None:
        """Its camera is closed, and not opened again. Idempotent."""
        self._let_go.set()
        self.opening.shut()

    async def run(self) -> None:
        pause = _AGAIN_FIRST_S
        while True:
            began = self._clock.monotonic()
            try:
                await self.opening.run()
                return
            # The outermost frame of a camera: what goes wrong in one must not touch the others.
            except Exception as error:  # noqa: BLE001
                log.error("camera_failed", error=error, deployment=self.spec.deployment, camera=self.spec.camera)
            if self._clock.monotonic() - began > _STEADY_S:
                pause = _AGAIN_FIRST_S
            if await set_within(self._let_go, pause):
                return
            pause = min(_AGAIN_MOST_S, pause * 2)
            self.opening = self._open_camera(self.spec)


class Cameras:
    """All cameras of this process. Methods are for the event loop's thread."""

    def __init__(self, *, open_camera: Callable[[CameraSpec], Opening], clock: Clock) -> None:
        self._open_camera = open_camera
        self._clock = clock
        self._deployments: dict[str, Deployment] = {}
        self._keepers: dict[tuple[str, str], _Keeper] = {}
        self._news = asyncio.Event()
        self._stopping = False
        self.heard = asyncio.Event()
        """Set once all deployments there are have been put: before that, an unknown one may only be unheard of."""

    # What others ask

    def visit(self, deployment: str, camera: str) -> Visit:
        """The right to push frames to a camera. Rejected with what is wrong; Retryable when it will be open soon."""
        if not self.heard.is_set():
            raise Retryable("the deployments are not known yet")
        check_visit(self._deployments, deployment, camera, self._clock.now())
        keeper = self._keepers.get((deployment, camera))
        if self._stopping or (keeper is not None and keeper.opening.camera.closing.is_set()):
            raise Rejected(Reason.CAMERA_CLOSED, "this camera is closing")
        if keeper is None or not keeper.opening.accepts:
            raise Retryable("this camera is about to open")
        return keeper.opening.camera.visit()

    def alive(self) -> list[Camera]:
        """Those that are opening, open or closing."""
        return [keeper.opening.camera for keeper in self._keepers.values()]

    # What the deployments say

    def put(self, deployment: Deployment) -> None:
        self._deployments[deployment.deployment] = deployment
        self._news.set()

    def remove(self, deployment: str) -> None:
        self._deployments.pop(deployment, None)
        self._news.set()

    # Reconcile

    async def run(self) -> None:
        """Until cancelled; then every camera is closed at once, and what it had is destroyed."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._reconcile(group)
                await self._until_news()

    async def close_all(self) -> None:
        """Closes every camera in order, opens none any more, and returns when all are drained."""
        self._stopping = True
        self._news.set()
        for keeper in self._keepers.values():
            keeper.let_go()
        if running := [keeper.task for keeper in self._keepers.values() if keeper.task is not None]:
            await asyncio.wait(running)

    def _reconcile(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        want = {} if self._stopping else wanted(self._deployments.values(), now)
        for key, keeper in self._keepers.items():
            # A camera that is described anew is another one: it is closed, and opened again when it is closed.
            if want.get(key) != keeper.spec:
                keeper.let_go()
        for key, spec in want.items():
            if key not in self._keepers:
                self._keepers[key] = keeper = _Keeper(spec, open_camera=self._open_camera, clock=self._clock)
                keeper.task = group.create_task(self._keep(key, keeper), name=f"camera {spec.deployment}/{spec.camera}")
        self._measure()

    async def _keep(self, key: tuple[str, str], keeper: _Keeper) -> None:
        try:
            await keeper.run()
        finally:
            del self._keepers[key]
            self._news.set()

    async def _until_news(self) -> None:
        """A change of the deployments, or of what the clock makes of them."""
        now = self._clock.now()
        edge = next_change(self._deployments.values(), now)
        nap = _LONGEST_NAP_S if edge is None else min(_LONGEST_NAP_S, _seconds(now, edge))
        await set_within(self._news, nap)
        self._news.clear()

    def _measure(self) -> None:
        for deployment in self._deployments:
            count = sum(1 for key in self._keepers if key[0] == deployment)
            gauge(Metric.CAMERAS_OPEN, count, deployment=deployment)


def _seconds(now: datetime, then: datetime) -> float:
    return max(0.0, (then - now).total_seconds())
