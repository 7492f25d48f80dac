"""Alerts over REST: what they carry, who may see their pictures, and what is left when they have expired."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from overt.permissions import Role
from overt.testing import FakeClock
from overt_gateway.aim import Threshold
from overt_gateway.ports import Part
from overt_gateway.testing import FakePeers, a_rival, an_alert

pytestmark = pytest.mark.unit

PICTURES = {part: b"\xff\xd8" + part.value.encode() for part in Part}


async def test_an_alert_and_its_pictures(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    alert = an_alert(now=clock.now())
    peers.alerts.tell("raised", alert, PICTURES)
    operator = peers.headers(Role.OPERATOR)
    answer = await client.get(f"/v1/deployments/{draft}/alerts/{alert.alert_id}", headers=operator)
    shown = answer.json()
    assert shown["id"] == alert.alert_id
    assert shown["category_label"] == "Wanted by a court"
    assert (shown["score"], shown["threshold"], shown["uncalibrated"]) == (0.5731, 0.45, True)
    assert shown["authority"] == "unauthorised: development"
    assert shown["scene_face"] == {"x": 60, "y": 40, "width": 50, "height": 60}
    assert "traceparent" not in shown
    assert (shown["calibration"], shown["target_fpir"]) == ("uncalibrated", None)
    assert (shown["ambiguous"], shown["rival"], shown["evidence"]["rival_reference"]) == (False, None, None)
    for part in (Part.PROBE, Part.REFERENCE, Part.SCENE):
        picture = await client.get(shown["evidence"][part.value], headers=operator)
        assert picture.content == PICTURES[part]
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.headers["cache-control"] == "no-store"
    assert "case-2231" not in repr(alert)


async def test_an_ambiguous_alert_shows_both_entries(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    alone, both = an_alert(now=clock.now()), replace(an_alert(now=clock.now()), rival=a_rival())
    for alert in (alone, both):
        peers.alerts.tell("raised", alert, PICTURES)
    operator, base = peers.headers(Role.OPERATOR), f"/v1/deployments/{draft}/alerts"
    shown = (await client.get(f"{base}/{both.alert_id}", headers=operator)).json()
    assert shown["ambiguous"] is True
    assert both.rival is not None
    assert shown["rival"] == {
        "entry_id": both.rival.entry_id,
        "subject_ref": "case-1907",
        "category": "recall_to_prison",
        "category_label": "Recall to prison",
        "under_18": False,
    }
    picture = await client.get(shown["evidence"]["rival_reference"], headers=operator)
    assert picture.content == PICTURES[Part.RIVAL_REFERENCE]
    none = await client.get(f"{base}/{alone.alert_id}/evidence/rival_reference", headers=operator)
    assert (none.status_code, none.json()["reason"]) == (404, "unknown_entry")
    assert "case-1907" not in repr(both)
    peers.alerts.expire(both.alert_id)
    assert "case-1907" not in (await client.get(base, headers=operator)).text


async def test_an_alert_says_what_its_score_stands_on(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    stored = peers.deployments.stored[draft]
    threshold = Threshold(5.8, 6.5, 1e-3, extrapolated=True, calibration_digest="ab")
    started = stored.deployment.started(list_digest="cd", list_size=1, threshold=threshold)
    await peers.deployments.replace(started, stored.revision)
    alert = replace(an_alert(now=clock.now()), uncalibrated=False, score=7.25, threshold=5.8)
    peers.alerts.tell("raised", alert, PICTURES)
    shown = (
        await client.get(f"/v1/deployments/{draft}/alerts/{alert.alert_id}", headers=peers.headers(Role.AUDITOR))
    ).json()
    assert (shown["score"], shown["threshold"], shown["uncalibrated"]) == (7.25, 5.8, False)
    assert shown["calibration"] == "calibrated, target 1 in 1,000, beyond what the calibration saw"
    assert shown["target_fpir"] == 1e-3


async def test_evidence_is_for_who_compares(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    alert = an_alert(now=clock.now())
    peers.alerts.tell("raised", alert, PICTURES)
    path = f"/v1/deployments/{draft}/alerts/{alert.alert_id}/evidence/probe"
    for role in Role:
        answer = await client.get(path, headers={"Authorization": f"Bearer {peers.token(role)}"})
        allowed = role in {Role.OPERATOR, Role.ENGAGEMENT_OFFICER}
        assert (answer.status_code == 200) is allowed, role
        assert (answer.content == PICTURES[Part.PROBE]) is allowed


async def test_the_list_is_newest_first_and_of_this_deployment(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    alerts = [an_alert(now=clock.now() + timedelta(seconds=s)) for s in (1, 3, 2)]
    for alert in (*alerts, an_alert(now=clock.now(), deployment="elsewhere")):
        peers.alerts.tell("raised", alert, PICTURES)
    answer = await client.get(f"/v1/deployments/{draft}/alerts", headers=peers.headers(Role.AUDITOR))
    found = answer.json()
    assert [alert["id"] for alert in found["alerts"]] == [alerts[n].alert_id for n in (1, 2, 0)]
    assert found["authority"] == "unauthorised: development"


async def test_what_expired_is_gone(client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock) -> None:
    alert = an_alert(now=clock.now())
    peers.alerts.tell("raised", alert, PICTURES)
    peers.alerts.expire(alert.alert_id)
    base = f"/v1/deployments/{draft}/alerts"
    answer = await client.get(base, headers=peers.headers(Role.OPERATOR))
    (shown,) = answer.json()["alerts"]
    assert (shown["id"], shown["state"], shown["evidence"]) == (alert.alert_id, "expired", None)
    assert "case-2231" not in answer.text
    for path in (f"{base}/{alert.alert_id}", f"{base}/{alert.alert_id}/evidence/probe"):
        gone = await client.get(path, headers=peers.headers(Role.OPERATOR))
        assert (gone.status_code, gone.json()["reason"]) == (410, "expired")


@pytest.mark.parametrize("part", ["everything", "PROBE", "probe.jpg", "%2e%2e"])
async def test_other_parts(client: httpx.AsyncClient, peers: FakePeers, draft: str, part: str) -> None:
    answer = await client.get(f"/v1/deployments/{draft}/alerts/a/evidence/{part}", headers=peers.headers(Role.OPERATOR))
    assert answer.status_code == 422


async def test_unknown_ones_and_alerts_away(
    client: httpx.AsyncClient, peers: FakePeers, draft: str, clock: FakeClock
) -> None:
    operator = peers.headers(Role.OPERATOR)
    base = f"/v1/deployments/{draft}/alerts"
    answer = await client.get(f"{base}/none", headers=operator)
    assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_alert")
    for path in (base, f"{base}/stream", f"{base}/x/evidence/probe"):
        answer = await client.get(path.replace(draft, "nowhere"), headers=operator)
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_deployment")
    peers.alerts.away = True
    for path in (base, f"{base}/x", f"{base}/x/evidence/probe"):
        answer = await client.get(path, headers=operator)
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
