"""Deployments over REST: created, started, ended; and by whom and when not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from overt.permissions import Role
from overt.reasons import Reason
from overt.testing import FakeClock
from overt_gateway.control import Control
from overt_gateway.domain import slug
from overt_gateway.ports import NewEntry, Reference
from overt_gateway.testing import FakePeers

pytestmark = pytest.mark.unit


def _entry(clock: FakeClock, name: str = "case-1") -> NewEntry:
    return NewEntry(name, "other", "b", "s", "r", clock.now() + timedelta(days=1), False, (Reference(b"", b""),))


async def _create(client: httpx.AsyncClient, peers: FakePeers, **fields: Any) -> httpx.Response:
    body = {"name": "Market day", **fields}
    return await client.post("/v1/deployments", json=body, headers=peers.headers(Role.APPLICANT))


async def _post(client: httpx.AsyncClient, peers: FakePeers, path: str, **headers: str) -> httpx.Response:
    return await client.post(path, headers={**peers.headers(Role.OPERATOR), **headers})


async def test_defaults(client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock) -> None:
    answer = await _create(client, peers)
    assert answer.status_code == 201
    made = answer.json()
    assert made["id"] == "market-day"
    assert made["state"] == "draft"
    assert (made["threshold"], made["target_fpir"]) == (0.45, 0.001)
    assert (made["calibration"], made["under_18_threshold"]) == ("uncalibrated", None)
    assert made["alert_retention_seconds"] == 86_400
    assert made["cameras"] == []
    assert made["created_by"] == "applicant"
    assert made["authority"] == "unauthorised: development"
    assert made["uncalibrated"] is True
    assert datetime.fromisoformat(made["starts_at"]) == clock.now()
    assert datetime.fromisoformat(made["ends_at"]) == clock.now() + timedelta(hours=5)
    assert answer.headers["location"] == "/v1/deployments/market-day"
    assert answer.headers["etag"] == '"1"'
    assert peers.keys.prepared == ["market-day"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("High Street, 1 May", "high-street-1-may"),
        ("Zürich HB – Gleis 4", "zurich-hb-gleis-4"),
        ("x" * 60, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_ids_from_names(name: str, made: str) -> None:
    assert slug(name) == made


async def test_a_name_without_any_letter_needs_an_id(client: httpx.AsyncClient, peers: FakePeers) -> None:
    answer = await _create(client, peers, name="渋谷")
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_field")
    assert (await _create(client, peers, name="渋谷", id="shibuya")).status_code == 201


async def test_an_id_is_used_once_for_ever(client: httpx.AsyncClient, peers: FakePeers, draft: str) -> None:
    await _post(client, peers, f"/v1/deployments/{draft}/end")
    answer = await _create(client, peers, id=draft)
    assert (answer.status_code, answer.json()["reason"]) == (409, "conflict")
    assert peers.keys.prepared == [draft], "an ended deployment's keys are not made again"


async def test_all_faults_are_named_and_nothing_is_echoed(client: httpx.AsyncClient, peers: FakePeers) -> None:
    answer = await _create(
        client,
        peers,
        name="",
        id="No Good",
        threshold=0.95,
        alert_retention_seconds=5,
        starts_at="2026-05-01T10:00:00",
        surprise=1,
        cameras=[{"id": "a", "name": "A", "source_url": "file:///etc/passwd?secret-in-url"}],
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    where = {fault["where"] for fault in problem["faults"]}
    assert where == {
        "name",
        "id",
        "threshold",
        "alert_retention_seconds",
        "starts_at",
        "surprise",
        "cameras.0.source_url",
    }
    assert "secret-in-url" not in answer.text
    assert "No Good" not in answer.text


@pytest.mark.parametrize(
    ("starts_in", "ends_in", "what"),
    [(0, 0, "after starts_at"), (2, 1, "after starts_at"), (0, 25, "24 hours"), (-3, -1, "in the past")],
)
async def test_windows_that_cannot_be(
    client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock, starts_in: float, ends_in: float, what: str
) -> None:
    starts_at = clock.now() + timedelta(hours=starts_in)
    ends_at = clock.now() + timedelta(hours=ends_in)
    answer = await _create(client, peers, starts_at=starts_at.isoformat(), ends_at=ends_at.isoformat())
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_field")
    assert what in answer.json()["detail"]


@pytest.mark.parametrize("starts_at", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "2150-01-01T00:00:00Z"])
async def test_a_window_is_not_in_another_age(client: httpx.AsyncClient, peers: FakePeers, starts_at: str) -> None:
    answer = await _create(client, peers, starts_at=starts_at)
    assert (answer.status_code, answer.json()["reason"]) == (422, "bad_field")


@pytest.mark.parametrize("threshold", [0.19, 0.91, "NaN", "Infinity"])
async def test_thresholds_out_of_bounds(client: httpx.AsyncClient, peers: FakePeers, threshold: object) -> None:
    assert (await _create(client, peers, threshold=threshold)).status_code == 422


async def test_alerts_away_makes_no_half_deployment(client: httpx.AsyncClient, peers: FakePeers) -> None:
    peers.keys.away = True
    answer = await _create(client, peers)
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert not peers.deployments.stored
    peers.keys.away = False
    assert (await _create(client, peers)).status_code == 201


async def test_the_whole_life(client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock) -> None:
    await peers.watchlists.add(draft, "m", [_entry(clock)])
    started = await _post(client, peers, f"/v1/deployments/{draft}/start")
    assert started.status_code == 200
    assert started.json()["state"] == "active"
    assert started.json()["list_size"] == 1
    assert started.json()["list_digest"]
    assert draft in peers.watchlists.sealed
    ended = await _post(client, peers, f"/v1/deployments/{draft}/end")
    assert ended.json()["state"] == "ended"
    again = await _post(client, peers, f"/v1/deployments/{draft}/end")
    assert again.status_code == 200
    assert again.headers["etag"] == ended.headers["etag"], "ending twice changes nothing"


async def test_start_refuses_in_words(
    client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock, draft: str
) -> None:
    async def reason(deployment: str) -> str:
        answer = await _post(client, peers, f"/v1/deployments/{deployment}/start")
        assert answer.status_code == 409
        assert answer.json()["detail"]
        return str(answer.json()["reason"])

    assert await reason(draft) == "list_empty"
    await _create(client, peers, id="bare")
    assert await reason("bare") == "no_camera"
    await peers.watchlists.add(draft, "m", [_entry(clock)])
    clock.advance(timedelta(hours=6))
    assert await reason(draft) == "outside_window"
    await _post(client, peers, f"/v1/deployments/{draft}/end")
    assert await reason(draft) == "wrong_state"


async def test_too_early_is_outside_the_window(client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock) -> None:
    await _create(
        client,
        peers,
        id="early",
        starts_at=(clock.now() + timedelta(minutes=1)).isoformat(),
        cameras=[{"id": "gate", "name": "Gate"}],
    )
    await peers.watchlists.add("early", "m", [_entry(clock)])
    answer = await _post(client, peers, "/v1/deployments/early/start")
    assert answer.json()["reason"] == "outside_window"
    clock.advance(60)
    assert (await _post(client, peers, "/v1/deployments/early/start")).status_code == 200


async def test_if_match(client: httpx.AsyncClient, peers: FakePeers, draft: str) -> None:
    path = f"/v1/deployments/{draft}"
    seen = (await client.get(path, headers=peers.headers(Role.AUDITOR))).headers["etag"]
    await client.post(f"{path}/cameras", json={"id": "two", "name": "Two"}, headers=peers.headers(Role.APPLICANT))
    stale = await _post(client, peers, f"{path}/end", **{"If-Match": seen})
    assert (stale.status_code, stale.json()["reason"]) == (412, "conflict")
    nonsense = await _post(client, peers, f"{path}/end", **{"If-Match": "seven"})
    assert nonsense.status_code == 422
    fresh = (await client.get(path, headers=peers.headers(Role.AUDITOR))).headers["etag"]
    assert (await _post(client, peers, f"{path}/end", **{"If-Match": fresh})).status_code == 200


async def test_a_lost_race_is_a_conflict_but_ending_tries_again(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = peers.deployments.get
    behind = 3

    async def stale(deployment: str) -> Any:
        nonlocal behind
        found = await real(deployment)
        if behind and found is not None:
            behind -= 1
            return type(found)(found.deployment, found.revision - 1)
        return found

    monkeypatch.setattr(peers.deployments, "get", stale)
    answer = await client.post(
        f"/v1/deployments/{draft}/cameras",
        json={"id": "two", "name": "Two"},
        headers=peers.headers(Role.APPLICANT),
    )
    assert (answer.status_code, answer.json()["reason"]) == (409, Reason.CONFLICT)
    assert (await _post(client, peers, f"/v1/deployments/{draft}/end")).json()["state"] == "ended"


async def test_windows_close_by_themselves(
    control: Control, client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    await peers.watchlists.add(draft, "m", [_entry(clock)])
    await _post(client, peers, f"/v1/deployments/{draft}/start")
    await _create(client, peers, id="forgotten")
    await _create(client, peers, id="later", ends_at=(clock.now() + timedelta(hours=9)).isoformat())
    clock.advance(timedelta(hours=5) - timedelta(milliseconds=1))
    await control.close_windows()
    assert peers.deployments.stored[draft].deployment.state == "active"
    clock.advance(timedelta(milliseconds=1))
    await control.close_windows()
    states = {name: stored.deployment.state.value for name, stored in peers.deployments.stored.items()}
    assert states == {draft: "ended", "forgotten": "ended", "later": "draft"}


@pytest.mark.parametrize("name", ["nowhere", "UPPER", "a.b", "x" * 41, "%2e%2e"])
async def test_unknown_deployments(client: httpx.AsyncClient, peers: FakePeers, name: str) -> None:
    answer = await client.get(f"/v1/deployments/{name}", headers=peers.headers(Role.OPERATOR))
    assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_deployment")
