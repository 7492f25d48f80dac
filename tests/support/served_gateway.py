"""The real gateway application on a real uvicorn, over fakes of what is behind it."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

import cv2
import httpx
import numpy as np
from overt.permissions import Role
from overt.runtime import SystemClock
from overt_gateway.auth import LoginCodes
from overt_gateway.manifest import REQUIRED
from overt_gateway.ports import CameraState, Part, Sight
from overt_gateway.routes.v1.alert_stream import AlertFeeds
from overt_gateway.server import HttpServer
from overt_gateway.testing import FakePeers
from overt_gateway.web_app import build_web_app


@dataclass(slots=True)
class Served:
    """Where it listens and what it talks to."""

    url: str
    peers: FakePeers
    feeds: AlertFeeds
    codes: Path

    def code(self, role: Role = Role.OPERATOR) -> str:
        """A one-time login code."""
        code = f"code-{role.value}-{datetime.now(UTC).timestamp()}"
        line = {
            "sha256": sha256(code.encode()).hexdigest(),
            "role": role.value,
            "expires": datetime.now(UTC).timestamp() + 600,
        }
        with self.codes.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return code

    def client(self, role: Role) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self.peers.headers(role), trust_env=False)

    async def start_deployment(self, deployment: str = "market", name: str = "Market day") -> None:
        """Active, with two cameras and one entry."""
        cameras = [{"id": "gate", "name": "North gate"}, {"id": "west", "name": "West door"}]
        path = f"/v1/deployments/{deployment}"
        async with self.client(Role.APPLICANT) as applicant:
            body = {"name": name, "id": deployment, "cameras": cameras}
            (await applicant.post("/v1/deployments", json=body)).raise_for_status()
            upload = {"archive": packed_list({"case-2231": b"x"})}
            (await applicant.post(f"{path}/list/import", files=upload)).raise_for_status()
        async with self.client(Role.OPERATOR) as operator:
            (await operator.post(f"{path}/start")).raise_for_status()

    def see(self, deployment: str = "market", camera: str = "gate", *, faces: int = 128, frames: int = 41_230) -> None:
        """Ingest says that a camera sees."""
        state = CameraState(Sight.SEEING, "", 24.9, 12.2, faces, frames, datetime.now(UTC))
        self.peers.sights.note(deployment, camera, state)

    def lose(self, deployment: str = "market", camera: str = "west", reason: str = "detect_away") -> None:
        """Ingest says that a camera is blind."""
        self.peers.sights.note(deployment, camera, CameraState(Sight.BLIND, reason, 12.0, 0.0, 3, 900))


def packed_list(pictures: Mapping[str, bytes]) -> bytes:
    """An archive for upload, with one picture of each subject."""
    table, archive = io.StringIO(), io.BytesIO()
    writer = csv.DictWriter(table, REQUIRED)
    writer.writeheader()
    with zipfile.ZipFile(archive, "w") as packed:
        for subject, picture in pictures.items():
            writer.writerow(
                {
                    "image": f"{subject}.jpg",
                    "subject_ref": subject,
                    "category": "wanted_by_court",
                    "legal_basis": "warrant 4411",
                    "image_source": "custody",
                    "reason": "failed to appear on 3 March",
                    "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
                }
            )
            packed.writestr(f"{subject}.jpg", picture)
        packed.writestr("manifest.csv", table.getvalue())
    return archive.getvalue()


@contextlib.asynccontextmanager
async def served_gateway(
    folder: Path,
    *,
    heartbeat: timedelta = timedelta(seconds=10),
    stall: timedelta = timedelta(seconds=15),
    listen: str = "127.0.0.1:0",
) -> AsyncIterator[Served]:
    """Runs until the block ends, then drains like the process does."""
    codes = folder / "login-codes"
    codes.touch()
    clock = SystemClock()
    peers = FakePeers(clock=clock, codes=LoginCodes(codes, clock))
    peers.feeds = AlertFeeds(alerts=peers.alerts, clock=clock, heartbeat=heartbeat, stall=stall)
    app, _ = build_web_app(peers.parts())
    server = HttpServer(app, listen, drain_seconds=5)
    serving = asyncio.create_task(server.run(), name="serve")
    try:
        yield Served(await server.open(), peers, peers.feeds, codes)
    finally:
        peers.feeds.stop()
        server.refuse_new()
        await asyncio.wait_for(serving, 10)


def evidence_pictures(scene_cut: Cut | None = None) -> Mapping[Part, bytes]:
    """Of a person in a picture that an installed package ships; everybody else is blocked out."""
    data = np.frombuffer(files("insightface").joinpath("data/images/t1.jpg").read_bytes(), np.uint8)
    scene = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert scene is not None
    left, top, right, bottom = _FACE
    margin = (right - left) // 2
    probe = scene[top - margin : bottom + margin, left - margin : right + margin].copy()
    reference = cv2.convertScaleAbs(cv2.flip(probe, 1), alpha=1.1, beta=12)
    for left, top, right, bottom in _OTHERS:
        scene[top:bottom, left:right] = scene[top:bottom, left:right].mean(axis=(0, 1)).astype(np.uint8)
    left, top, right, bottom = scene_cut or SQUARE
    rival = cv2.convertScaleAbs(cv2.GaussianBlur(probe, (0, 0), 2), alpha=0.9)
    pictures = {
        Part.PROBE: probe,
        Part.REFERENCE: reference,
        Part.SCENE: scene[top:bottom, left:right],
        Part.RIVAL_REFERENCE: rival,
    }
    return {part: cv2.imencode(".jpg", picture)[1].tobytes() for part, picture in pictures.items()}


def scene_face(scene_cut: Cut | None = None) -> tuple[float, float, float, float]:
    """x, y, width, height of the person in that scene."""
    left, top, right, bottom = _FACE
    from_left, from_top, _, _ = scene_cut or SQUARE
    return float(left - from_left), float(top - from_top), float(right - left), float(bottom - top)


Cut: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom of a part of the picture."""
SQUARE: Cut = (205, 172, 845, 812)
"""A scene as most are: 640 px."""
WIDE: Cut = (0, 0, 1280, 886)
"""As it is where the frame is no higher."""
_FACE: Cut = (466, 262, 584, 402)
"""The man in the middle."""
_OTHERS = (
    (50, 240, 175, 420),
    (255, 125, 385, 285),
    (735, 320, 870, 490),
    (885, 35, 1045, 220),
    (1120, 245, 1240, 410),
)
"""left, top, right, bottom of everybody else."""
