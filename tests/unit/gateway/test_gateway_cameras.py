"""Cameras: registered in a draft, shown without their source, seen or blind, and their tokens."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from overt.permissions import Role
from overt.testing import FakeClock
from overt_gateway.domain import Camera
from overt_gateway.ports import CameraState, NewEntry, Reference, Sight
from overt_gateway.schemas.v1.cameras import CameraIn
from overt_gateway.sights import MOST_CAMERAS, Sights
from overt_gateway.testing import FakePeers

pytestmark = pytest.mark.unit

_SECRET = "rtsp://admin:hunter2@192.0.2.7/stream"


async def _add(client: httpx.AsyncClient, peers: FakePeers, draft: str, **fields: object) -> httpx.Response:
    body = {"id": "west", "name": "West door", **fields}
    return await client.post(f"/v1/deployments/{draft}/cameras", json=body, headers=peers.headers(Role.APPLICANT))


async def _activate(client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock) -> None:
    entry = NewEntry("a", "other", "b", "s", "r", clock.now() + timedelta(days=1), False, (Reference(b"", b""),))
    await peers.watchlists.add(draft, "m", [entry])
    answer = await client.post(f"/v1/deployments/{draft}/start", headers=peers.headers(Role.OPERATOR))
    assert answer.status_code == 200, answer.text


async def test_a_source_url_goes_in_and_never_comes_out(
    client: httpx.AsyncClient, peers: FakePeers, draft: str
) -> None:
    zone = [{"x": 0.1, "y": 0.1}, {"x": 0.9, "y": 0.1}, {"x": 0.5, "y": 0.9}]
    added = await _add(client, peers, draft, source_url=_SECRET, zone=zone, smallest_face_px=40)
    assert added.status_code == 201
    assert added.json() == {
        "id": "west",
        "name": "West door",
        "kind": "pull",
        "smallest_face_px": 40,
        "zone": zone,
    }
    assert peers.deployments.stored[draft].deployment.camera("west").source_url == _SECRET
    for path in (
        "/v1/deployments",
        f"/v1/deployments/{draft}",
        f"/v1/deployments/{draft}/cameras",
        "/v1/openapi.json",
    ):
        answer = await client.get(path, headers=peers.headers(Role.ADMINISTRATOR))
        assert answer.status_code == 200
        assert "hunter2" not in answer.text
        assert '"source_url":"' not in answer.text
    assert "hunter2" not in repr(Camera("west", "West", _SECRET))
    assert "hunter2" not in repr(CameraIn.model_validate({"id": "w", "name": "W", "source_url": _SECRET}))
    assert "hunter2" not in repr(peers.deployments.stored[draft])


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "ftp://x/y",
        "rtsp://:554",
        "/dev/video0",
        "javascript:alert(1)",
        "rtsp://a b/",
        "x" * 9,
        "rtsp://[::1",
        "rtsp://[camera]/live",
        "rtsp://gate:99999/live",
        "rtsp://gate\u2100/live",
    ],
)
async def test_other_sources_are_refused(client: httpx.AsyncClient, peers: FakePeers, draft: str, source: str) -> None:
    answer = await _add(client, peers, draft, source_url=source)
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["where"] == "source_url"
    assert source not in answer.text


@pytest.mark.parametrize(
    "fields",
    [
        {"zone": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        {"zone": [{"x": 0, "y": 0}, {"x": 1, "y": 1}, {"x": 1.2, "y": 0}]},
        {"smallest_face_px": 0},
        {"smallest_face_px": 5000},
        {"id": "West"},
        {"id": "a.b"},
        {"name": "two\nlines"},
    ],
)
async def test_cameras_that_cannot_be(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, fields: dict[str, object]
) -> None:
    assert (await _add(client, peers, draft, **fields)).status_code == 422


async def test_two_cameras_of_one_id(client: httpx.AsyncClient, peers: FakePeers, draft: str) -> None:
    assert (await _add(client, peers, draft)).status_code == 201
    again = await _add(client, peers, draft)
    assert (again.status_code, again.json()["reason"]) == (409, "conflict")
    both = [{"id": "a", "name": "A"}, {"id": "a", "name": "B"}]
    answer = await client.post(
        "/v1/deployments", json={"name": "x", "cameras": both}, headers=peers.headers(Role.APPLICANT)
    )
    assert answer.status_code == 422


async def test_cameras_are_added_to_a_draft_only(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    await _activate(client, peers, draft, clock)
    answer = await _add(client, peers, draft)
    assert (answer.status_code, answer.json()["reason"]) == (409, "wrong_state")


async def test_sight(client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock) -> None:
    async def gate() -> dict[str, object]:
        answer = await client.get(f"/v1/deployments/{draft}/cameras", headers=peers.headers(Role.AUDITOR))
        assert answer.json()["authority"] == "unauthorised: development"
        (camera,) = answer.json()["cameras"]
        return dict(camera)

    assert (await gate())["sight"] == "closed"
    await _activate(client, peers, draft, clock)
    camera = await gate()
    assert (camera["sight"], camera["reason"]) == ("blind", "ingest_away"), "nobody reports it: nobody looks"
    peers.sights.note(draft, "gate", CameraState(Sight.SEEING, "", 25.0, 12.456, 17, 4210, clock.now()))
    camera = await gate()
    assert camera["sight"] == "seeing"
    assert camera["reason"] is None
    assert (camera["faces_seen"], camera["frames_destroyed"]) == (17, 4210)
    assert camera["analysed_per_second"] == 12.46
    clock.advance(2.4)
    assert (await gate())["sight"] == "seeing"
    clock.advance(0.2)
    assert (await gate())["sight"] == "blind"


def test_sights_are_bounded(clock: FakeClock) -> None:
    sights = Sights(clock)
    for number in range(MOST_CAMERAS + 10):
        sights.note("d", f"c{number}", CameraState(Sight.SEEING))
    assert len(sights._heard) == MOST_CAMERAS
    sights.forget("d")
    assert not sights._heard


def test_who_fell_silent_makes_room(clock: FakeClock) -> None:
    sights = Sights(clock)
    for number in range(MOST_CAMERAS):
        sights.note("d", f"c{number}", CameraState(Sight.SEEING))
    clock.advance(2)
    sights.note("d", "c0", CameraState(Sight.SEEING))
    sights.note("e", "new", CameraState(Sight.SEEING))
    assert ("e", "new") not in sights._heard, "all of them spoke a moment ago"
    clock.advance(1)
    sights.note("e", "new", CameraState(Sight.SEEING))
    assert set(sights._heard) == {("d", "c0"), ("e", "new")}


async def test_a_camera_token_is_bound_and_ends_with_the_window(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    admin = peers.headers(Role.ADMINISTRATOR)
    answer = await client.post(f"/v1/deployments/{draft}/cameras/gate/token", headers=admin)
    assert answer.status_code == 201
    claims = peers.verifier.verify(answer.json()["token"])
    assert (claims.role, claims.deployment, claims.camera) == (Role.CAMERA, draft, "gate")
    ends_at = peers.deployments.stored[draft].deployment.ends_at
    assert abs(claims.expires_at - ends_at) < timedelta(seconds=5)
    unknown = await client.post(f"/v1/deployments/{draft}/cameras/other/token", headers=admin)
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "unknown_camera")
    await client.post(f"/v1/deployments/{draft}/end", headers=admin)
    over = await client.post(f"/v1/deployments/{draft}/cameras/gate/token", headers=admin)
    assert (over.status_code, over.json()["reason"]) == (409, "wrong_state")


async def test_no_camera_token_after_the_window(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    clock.advance(timedelta(hours=6))
    answer = await client.post(f"/v1/deployments/{draft}/cameras/gate/token", headers=peers.headers(Role.ADMINISTRATOR))
    assert (answer.status_code, answer.json()["reason"]) == (409, "outside_window")
