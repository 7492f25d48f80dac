"""A calibration over REST: put in force, shown, taken away, made a threshold at the start; and what it foretells."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from overt.errors import Rejected, Retryable
from overt.limits import MAX_COHORT_BYTES, MAX_FOOTFALL
from overt.permissions import Role
from overt.reasons import Reason
from overt.testing import FakeClock
from overt_gateway.domain import State
from overt_gateway.ports import NewEntry, Reference
from overt_gateway.testing import FakePeers, an_alert

pytestmark = pytest.mark.unit

COHORT = b"COHORT"


class Desk:
    """An applicant and an operator at one draft."""

    def __init__(self, client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock) -> None:
        self.client = client
        self.peers = peers
        self._clock = clock
        self.path = "/v1/deployments/market"

    async def create(self, **fields: Any) -> httpx.Response:
        body = {"name": "Market day", "id": "market", "cameras": [{"id": "gate", "name": "Gate"}], **fields}
        return await self.client.post("/v1/deployments", json=body, headers=self.peers.headers(Role.APPLICANT))

    async def put(self, cohort: Any = COHORT, **headers: str) -> httpx.Response:
        sent = {**self.peers.headers(Role.APPLICANT), "content-type": "application/octet-stream", **headers}
        return await self.client.put(f"{self.path}/calibration", content=cohort, headers=sent)

    async def take_away(self) -> httpx.Response:
        return await self.client.delete(f"{self.path}/calibration", headers=self.peers.headers(Role.APPLICANT))

    async def aim(self, **fields: Any) -> httpx.Response:
        return await self.client.patch(self.path, json=fields, headers=self.peers.headers(Role.APPLICANT))

    async def list_somebody(self) -> str:
        expires_at = self._clock.now() + timedelta(days=1)
        references = (Reference(b"", b""), Reference(b"", b""))
        entry = NewEntry("case-1", "other", "b", "s", "r", expires_at, False, references)
        await self.peers.watchlists.add("market", "m", [entry])
        return next(iter(self.peers.watchlists.entries["market"]))

    async def start(self) -> httpx.Response:
        return await self.client.post(f"{self.path}/start", headers=self.peers.headers(Role.OPERATOR))

    async def forecast(self, query: str = "footfall=1200") -> httpx.Response:
        return await self.client.get(f"{self.path}/forecast?{query}", headers=self.peers.headers(Role.AUDITOR))

    async def shown(self) -> dict[str, Any]:
        answer = await self.client.get(self.path, headers=self.peers.headers(Role.AUDITOR))
        shown: dict[str, Any] = answer.json()
        return shown

    async def calibration(self) -> dict[str, Any]:
        answer = await self.client.get(f"{self.path}/calibration", headers=self.peers.headers(Role.OPERATOR))
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture
async def desk(client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock, draft: str) -> Desk:
    return Desk(client, peers, clock)


@pytest.fixture
def bare(client: httpx.AsyncClient, peers: FakePeers, clock: FakeClock) -> Desk:
    """Without the draft."""
    return Desk(client, peers, clock)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


async def test_a_calibration_from_its_file_to_a_threshold(desk: Desk) -> None:
    assert (await desk.calibration())["in_force"] is None
    put = await desk.put()
    assert put.status_code == 200, put.text
    told = put.json()
    assert told == await desk.calibration()
    assert (told["uncalibrated"], told["calibration"]) == (False, "calibrated, target 1 in 1,000")
    digest = hashlib.sha256(COHORT).hexdigest()
    assert told["in_force"]["digest"] == digest
    assert told["in_force"]["groups"] == {"one": 500, "other": 492}
    drafted = await desk.shown()
    assert (drafted["calibration_digest"], drafted["threshold"]) == (digest, None), "it is made when the list is sealed"
    assert put.headers["etag"] == f'"{desk.peers.deployments.stored["market"].revision}"'
    await desk.list_somebody()
    started = (await desk.start()).json()
    assert (started["threshold"], started["under_18_threshold"], started["target_fpir"]) == (5.8, 6.5, 0.001)
    assert (started["calibration_digest"], started["calibration"]) == (digest, "calibrated, target 1 in 1,000")
    stored = desk.peers.deployments.stored["market"].deployment
    assert (stored.threshold, stored.under_18_threshold, stored.uncalibrated) == (5.8, 6.5, False)
    cameras = await desk.client.get(f"{desk.path}/cameras", headers=desk.peers.headers(Role.OPERATOR))
    ledger = await desk.client.get(f"{desk.path}/ledger", headers=desk.peers.headers(Role.OPERATOR))
    assert not cameras.json()["uncalibrated"]
    assert not ledger.json()["uncalibrated"]


async def test_without_one_everything_stays_raw(desk: Desk) -> None:
    await desk.list_somebody()
    started = (await desk.start()).json()
    assert (started["threshold"], started["target_fpir"], started["uncalibrated"]) == (0.45, None, True)
    assert started["calibration"] == "uncalibrated"


@pytest.mark.parametrize("target", [1e-4, 0.1])
async def test_a_target_of_ones_own(bare: Desk, target: float) -> None:
    created = (await bare.create(target_fpir=target)).json()
    assert (created["threshold"], created["target_fpir"], created["calibration"]) == (None, target, "uncalibrated")
    await bare.put()
    await bare.list_somebody()
    started = (await bare.start()).json()
    assert started["target_fpir"] == target
    assert started["threshold_extrapolated"] is (target < 1e-3)


@pytest.mark.parametrize("target", [0, -0.1, 0.11, 1, "NaN", "x"])
async def test_targets_that_cannot_be(bare: Desk, target: object) -> None:
    assert refused(await bare.create(target_fpir=target)) == (422, "bad_field")
    await bare.create()
    assert refused(await bare.aim(target_fpir=target)) == (422, "bad_field")


async def test_a_threshold_or_a_target(bare: Desk) -> None:
    both = await bare.create(threshold=0.5, target_fpir=0.01)
    assert refused(both) == (422, "bad_field")
    assert "not both" in both.text
    await bare.create()
    neither = await bare.aim()
    assert refused(neither) == (422, "bad_field")
    assert "give threshold" in neither.text
    assert refused(await bare.aim(threshold=0.5, target_fpir=0.01)) == (422, "bad_field")
    assert refused(await bare.aim(name="Other")) == (422, "bad_field")


async def test_a_target_without_a_calibration_does_not_start(bare: Desk) -> None:
    await bare.create(target_fpir=1e-3)
    await bare.list_somebody()
    answer = await bare.start()
    assert refused(answer) == (409, "uncalibrated")
    assert "1 in 1,000" in answer.json()["detail"]
    assert "market" not in bare.peers.watchlists.sealed, "nothing was sealed"
    assert (await bare.aim(threshold=0.5)).status_code == 200
    assert (await bare.start()).json()["threshold"] == 0.5


async def test_a_raw_threshold_and_a_calibration_do_not_go_together(bare: Desk) -> None:
    await bare.create(threshold=0.5)
    answer = await bare.put()
    assert refused(answer) == (409, "wrong_state")
    assert "raw threshold (0.5)" in answer.json()["detail"]
    assert not bare.peers.watchlists.calibrations
    assert (await bare.aim(target_fpir=0.02)).json()["target_fpir"] == 0.02
    assert (await bare.put()).json()["calibration"] == "calibrated, target 1 in 50"
    assert refused(await bare.aim(threshold=0.5)) == (409, "wrong_state")
    # The record may be behind, if the gateway died between match and it.
    stored = bare.peers.deployments.stored["market"]
    behind = await bare.peers.deployments.replace(stored.deployment.calibrated(""), stored.revision)
    assert (await bare.aim(threshold=0.5)).status_code == 200
    assert behind.deployment.uncalibrated
    await bare.list_somebody()
    assert refused(await bare.start()) == (409, "wrong_state")
    assert "market" not in bare.peers.watchlists.sealed


async def test_what_was_in_force_is_told_by_match_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway may die between match and the record: starting says what is so, and so does putting it again."""

    async def away(*_: object) -> None:
        raise Retryable("the bus is away")

    with monkeypatch.context() as patched:
        patched.setattr(desk.peers.deployments, "replace", away)
        assert refused(await desk.put()) == (503, "unavailable")
    assert (await desk.shown())["uncalibrated"] is True
    assert (await desk.put()).json()["uncalibrated"] is False
    stored = desk.peers.deployments.stored["market"]
    await desk.peers.deployments.replace(stored.deployment.calibrated(""), stored.revision)
    await desk.list_somebody()
    assert (await desk.start()).json()["calibration"] == "calibrated, target 1 in 1,000"


async def test_who_writes_at_the_same_moment_does_not_stop_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = desk.peers.deployments.replace
    conflicts = 2

    async def contended(deployment: Any, revision: int) -> Any:
        nonlocal conflicts
        if conflicts:
            conflicts -= 1
            raise Rejected(Reason.CONFLICT, "somebody else changed it")
        return await real(deployment, revision)

    monkeypatch.setattr(desk.peers.deployments, "replace", contended)
    assert (await desk.put()).json()["uncalibrated"] is False


async def test_before_anybody_is_listed(desk: Desk) -> None:
    assert (await desk.put()).status_code == 200
    entry = await desk.list_somebody()
    assert (await desk.put()).status_code == 200, "the same one again changes nothing"
    for answer in (await desk.put(COHORT + b"fake-model"), await desk.take_away()):
        assert refused(answer) == (409, "list_not_empty")
    await desk.peers.watchlists.remove("market", entry)
    assert (await desk.put(COHORT + b"fake-model")).json()["in_force"]["digest"] != hashlib.sha256(COHORT).hexdigest()
    for _ in range(2):
        gone = await desk.take_away()
        assert (gone.status_code, gone.json()["in_force"], gone.json()["uncalibrated"]) == (200, None, True)
    assert (await desk.shown())["threshold"] == 0.45


async def test_what_is_no_cohort_for_this_system(desk: Desk) -> None:
    assert refused(await desk.put(b"something else")) == (422, "bad_cohort")
    assert refused(await desk.put(b"COHORTanother-model")) == (409, "model_mismatch")
    assert refused(await desk.put(b"")) == (422, "bad_message")
    assert refused(await desk.put(**{"content-type": "application/json"})) == (422, "bad_message")
    assert not desk.peers.watchlists.calibrations
    assert (await desk.shown())["uncalibrated"] is True


async def test_a_body_has_its_bound(desk: Desk) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(1024 * 1024)

    assert refused(await desk.put(endless())) == (413, "message_too_large")
    assert sent <= MAX_COHORT_BYTES // 1024**2 + 1
    # The place is free again.
    assert (await desk.put(COHORT)).status_code == 200


async def test_a_body_that_nobody_wants_is_not_read(desk: Desk) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("nobody should read this")
        yield b""

    assert refused(await desk.put(never(), **{"if-match": '"77"'})) == (412, "conflict")
    await desk.list_somebody()
    await desk.start()
    assert refused(await desk.put(never())) == (409, "wrong_state")
    assert refused(await desk.take_away()) == (409, "wrong_state")
    assert refused(await desk.aim(target_fpir=0.01)) == (409, "wrong_state")


async def test_one_at_a_time(desk: Desk) -> None:
    answers: list[httpx.Response] = []

    async def meanwhile() -> AsyncIterator[bytes]:
        answers.append(await desk.put())
        yield COHORT

    assert (await desk.put(meanwhile())).status_code == 200
    assert refused(answers[0]) == (503, "unavailable")


async def test_a_forecast(desk: Desk) -> None:
    assert refused(await desk.forecast()) == (409, "uncalibrated")
    await desk.put()
    assert refused(await desk.forecast()) == (409, "list_empty")
    told = (await desk.forecast("footfall=1200&list_size=800")).json()
    assert (told["list_size"], told["footfall"], told["threshold"]) == (800, 1200, 5.8)
    assert told["fpir"]["value"] == 0.001, "what the draft aims at"
    assert told["false_alerts"] == {"value": 1.2, "low": 0.0, "high": 2.4, "extrapolated": False}
    assert told["missed"]["value"] == 0.11
    assert told["in_force"]["people"] == 992
    await desk.list_somebody()
    assert (await desk.forecast()).json()["list_size"] == 2, "reference pictures, not people"
    assert (await desk.forecast("footfall=1200&target_fpir=0.001")).json()["fpir"]["value"] == 0.001
    assert (await desk.forecast("footfall=1200&score=-0.5")).json()["threshold"] == -0.5
    await desk.start()
    assert (await desk.forecast()).json()["fpir"]["value"] == 0.02, "match knows what it runs with"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "footfall=0",
        f"footfall={MAX_FOOTFALL + 1}",
        "footfall=9&list_size=0",
        "footfall=9&target_fpir=0",
        "footfall=9&target_fpir=1",
        "footfall=9&target_fpir=nan",
        "footfall=9&score=inf",
        "footfall=9&score=1&target_fpir=0.1",
    ],
)
async def test_forecasts_that_cannot_be(desk: Desk, query: str) -> None:
    await desk.put()
    assert refused(await desk.forecast(query)) == (422, "bad_field")


async def test_a_stream_that_was_open_before_the_start_tells_what_holds(desk: Desk, clock: FakeClock) -> None:
    known = desk.peers.deployments.stored["market"].deployment
    assert known.state is State.DRAFT

    async def current() -> Any:
        return desk.peers.deployments.stored["market"].deployment

    stream = desk.peers.feeds.open(known, until=clock.now() + timedelta(hours=1), current=current)
    await desk.put()
    await desk.list_somebody()
    await desk.start()
    alert = an_alert(now=clock.now())
    told = await _first_alert(stream, desk.peers, alert)
    assert '"calibration":"calibrated, target 1 in 1,000"' in told


async def _first_alert(stream: Any, peers: FakePeers, alert: Any) -> str:
    peers.alerts.tell("raised", replace(alert, uncalibrated=False))
    got: list[str] = []
    done = asyncio.Event()

    async def send(message: Any) -> None:
        if b"event: alert" in message.get("body", b""):
            got.append(message["body"].decode())
            done.set()

    async def receive() -> Any:
        await done.wait()
        return {"type": "http.disconnect"}

    await stream({"type": "http"}, receive, send)
    return got[0]
