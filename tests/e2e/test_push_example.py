"""examples/push_camera.py drives the same alert over gRPC push, and examples/follow_alerts.py sees it."""

from __future__ import annotations

import asyncio
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from overt.permissions import Role
from overt_lab.demo.cli import SEED, THRESHOLD, builtin_list
from overt_lab.demo.people import demo_people
from overt_lab.demo.run import CAMERA, DEPLOYMENT, Outcome, Stage
from overt_lab.demo.scene import FRAMES_PER_SECOND, HEIGHT, WIDTH, plan, render
from support.machine import gateway, running, until

pytestmark = pytest.mark.e2e


def _write_clip(path: Path) -> None:
    """The walk of one listed person, as a video file."""
    people = [p for p in demo_people() if p.name == "alder"]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(FRAMES_PER_SECOND))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 8_000_000
        for picture in render(plan(people, SEED), SEED):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


async def test_the_example_camera_raises_the_alert(tmp_path: Path, root: Path) -> None:
    clip = tmp_path / "clip.mp4"
    _write_clip(clip)
    outcome = Outcome(expected=["alder"])
    async with running(tmp_path / "data") as machine:
        stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
        await stage.open(builtin_list())
        async with gateway(machine, Role.ADMINISTRATOR) as administrator:
            token = await administrator.camera_token(DEPLOYMENT, CAMERA)
        dashboard = await asyncio.create_subprocess_exec(
            sys.executable,
            str(root / "examples/follow_alerts.py"),
            machine.gateway_url,
            DEPLOYMENT,
            env={**os.environ, "OVERT_TOKEN": machine.token(Role.OPERATOR)},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with stage.watching(lambda alert: None):
                camera = await asyncio.create_subprocess_exec(
                    sys.executable,
                    str(root / "examples/push_camera.py"),
                    str(clip),
                    machine.camera_address,
                    DEPLOYMENT,
                    CAMERA,
                    env={**os.environ, "OVERT_CAMERA_TOKEN": token},
                    stdout=asyncio.subprocess.PIPE,
                )
                out, _ = await asyncio.wait_for(camera.communicate(), 60)
                await until("the alert", lambda: outcome.alerted == {"alder"})
        finally:
            dashboard.terminate()
            seen, _ = await dashboard.communicate()
        await stage.end()
    assert camera.returncode == 0
    assert b"OUTCOME_ACCEPTED" in out
    assert b"alder" in seen
    assert outcome.conserved
    assert len((root / "examples/push_camera.py").read_text().splitlines()) < 60
