"""A source that no camera can have: told, and no defect of the camera's task."""

from __future__ import annotations

import asyncio

import pytest
from overt.reasons import Reason
from overt.testing import FakeClock
from overt_ingest.adapters.pull import PulledSource
from overt_ingest.camera import Camera
from overt_ingest.domain.deployments import CameraSpec

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "url", ["rtsp://[::1", "rtsp://[gate]/live", "http://gate\u2100/", "file:///etc/hostname", "hostname"]
)
async def test_it_leaves_the_camera_blind_with_a_reason(url: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    spec = CameraSpec("dep", "cam", source_url=url)
    camera = Camera(spec, clock=clock, may_enter=lambda entered: True)
    feeding = asyncio.create_task(PulledSource(spec, clock=clock).feed(camera.visit()))
    await asyncio.sleep(0)
    assert camera.senses.source_trouble is Reason.BAD_FIELD
    assert not feeding.done(), "opening it again would not help"
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    assert url not in caplog.text
