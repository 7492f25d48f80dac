"""Cameras are opened and closed as the deployments say, and a failed one keeps nobody waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from overt.ids import Epoch
from overt.testing.virtual_time import LoopClock, run_virtually
from overt_ingest.camera import Camera
from overt_ingest.cameras import Cameras
from overt_ingest.domain.deployments import CameraSpec, Deployment, State
from overt_ingest.opening import Opening
from overt_ingest.testing import FakeParts

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Broken:
    """Of an opening, what Cameras uses: each meets a defect at once."""

    accepts = False
    opened = 0

    def __init__(self, spec: CameraSpec) -> None:
        Broken.opened += 1
        self.camera = Camera(spec, clock=LoopClock(), may_enter=lambda entered: True)

    def shut(self) -> None:
        self.camera.shut()

    async def run(self) -> None:
        raise RuntimeError("a defect")


def _deployment(*cameras: CameraSpec) -> Deployment:
    return Deployment("dep", State.ACTIVE, BEGIN, BEGIN + timedelta(days=1), cameras)


@pytest.mark.parametrize("how", ["stop", "not wanted", "described anew"])
def test_a_failed_camera_that_waits_for_its_next_attempt_does_not_outlast_its_end(how: str) -> None:
    async def play() -> None:
        Broken.opened = 0
        loop = asyncio.get_running_loop()
        cameras = Cameras(open_camera=Broken, clock=LoopClock())  # type: ignore[arg-type]  # of an opening
        running = asyncio.create_task(cameras.run())
        cameras.put(_deployment(CameraSpec("dep", "cam")))
        await asyncio.sleep(100)
        assert Broken.opened == 8, "1, 2, 4, 8, 16, 30 and 30 s between them"
        began = loop.time()
        if how == "stop":
            await cameras.close_all()
        elif how == "not wanted":
            cameras.remove("dep")
            await asyncio.sleep(0.01)
        else:
            cameras.put(_deployment(CameraSpec("dep", "cam", smallest_face_px=50)))
            await asyncio.sleep(0.01)
        assert loop.time() - began < 0.1
        assert [camera.spec.smallest_face_px for camera in cameras.alive()] == ([50] if how == "described anew" else [])
        running.cancel()

    run_virtually(play())


def test_a_camera_that_still_waits_for_detect_closes_at_once() -> None:
    async def nobody(*asked: object) -> Any:
        raise AssertionError("nobody is asked")

    async def play() -> None:
        parts = FakeParts(analyse=nobody, judge=nobody)
        parts.detector.goes()
        opening = Opening(CameraSpec("dep", "cam"), epoch=Epoch("e1"), parts=parts, clock=LoopClock())
        running = asyncio.create_task(opening.run())
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        opening.shut()
        await running
        assert asyncio.get_running_loop().time() - began < 0.1
        assert parts.receipts.accounts[-1].final

    run_virtually(play())
