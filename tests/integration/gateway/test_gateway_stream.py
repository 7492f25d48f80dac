"""The alert stream over a real server: it begins with what there is, and its end is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from overt.permissions import Role
from overt.telemetry import Metric
from overt.testing.telemetry import recorded_telemetry
from overt_gateway.routes.v1 import alert_stream
from overt_gateway.testing import an_alert
from support.served_gateway import Served, served_gateway
from support.waiting import until

pytestmark = pytest.mark.integration

PATH = "/v1/deployments/market/alerts/stream"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with served_gateway(tmp_path, heartbeat=timedelta(milliseconds=200), stall=timedelta(seconds=1)) as served:
        await served.start_deployment()
        yield served


class Events:
    """What a client reads, event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[int, str, Any]:
        """(id, event, data); StopAsyncIteration at the end."""
        number, name, data = 0, "", ""
        async with asyncio.timeout(10):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("id:"):
                    number = int(line[3:])
                elif line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data = line[5:].strip()
                elif name:
                    return number, name, json.loads(data)
        raise StopAsyncIteration


@contextlib.asynccontextmanager
async def following(served: Served, role: Role = Role.OPERATOR) -> AsyncIterator[Events]:
    async with served.client(role) as client, client.stream("GET", PATH, timeout=10) as response:
        assert response.status_code == 200
        yield Events(response)


async def test_what_there_is_and_then_what_changes(served: Served) -> None:
    before = an_alert(now=datetime.now(UTC), subject_ref="before")
    served.peers.alerts.tell("raised", before)
    async with following(served) as events:
        assert events.response.headers["content-type"].startswith("text/event-stream")
        assert events.response.headers["cache-control"] == "no-store"
        assert await events.next() == (
            1,
            "open",
            {"deployment": "market", "authority": "unauthorised: development"},
        )
        number, name, data = await events.next()
        assert (number, name, data["kind"]) == (2, "alert", "raised")
        assert data["alert"]["id"] == before.alert_id
        assert data["alert"]["subject_ref"] == "before"
        later = an_alert(now=datetime.now(UTC), subject_ref="later")
        served.peers.alerts.tell("raised", later)
        assert (await events.next())[2]["alert"]["subject_ref"] == "later"
        served.peers.alerts.tell("sighted_again", replace(later, sightings=later.sightings * 2))
        _, _, data = await events.next()
        assert (data["kind"], len(data["alert"]["sightings"])) == ("sighted_again", 2)
        served.peers.alerts.expire(later.alert_id)
        number, _, data = await events.next()
        assert (number, data["kind"], data["alert"]["evidence"]) == (5, "expired", None)
        served.peers.alerts.tell("raised", an_alert(now=datetime.now(UTC), deployment="elsewhere"))
        served.peers.alerts.tell("raised", an_alert(now=datetime.now(UTC), subject_ref="last"))
        assert (await events.next())[2]["alert"]["subject_ref"] == "last"


async def test_it_says_that_it_is_still_there(served: Served) -> None:
    async with following(served) as events:
        await events.next()
        waiting = asyncio.create_task(events.next())
        await until(lambda: events.comments >= 3)
        assert not waiting.done()
        served.peers.alerts.tell("raised", an_alert(now=datetime.now(UTC)))
        assert (await waiting)[1] == "alert"


async def test_alerts_going_away_ends_it_with_a_reason(served: Served) -> None:
    async with following(served) as events:
        await events.next()
        served.peers.alerts.go_away()
        _, name, data = await events.next()
        assert (name, data["reason"]) == ("end", "unavailable")
        with pytest.raises(StopAsyncIteration):
            await events.next()
    async with following(served) as events:
        assert (await events.next())[1] == "open"
        assert (await events.next())[1] == "end"
    served.peers.alerts.away = False
    async with following(served) as events:
        await events.next()
        served.peers.alerts.tell("raised", an_alert(now=datetime.now(UTC)))
        assert (await events.next())[1] == "alert"


async def test_it_ends_with_the_token(served: Served) -> None:
    token = served.peers.issuer.issue(Role.OPERATOR, subject="x", lifetime=timedelta(seconds=1.2))
    async with (
        httpx.AsyncClient(base_url=served.url, trust_env=False) as client,
        client.stream("GET", PATH, headers={"Authorization": f"Bearer {token}"}) as response,
    ):
        events = Events(response)
        assert (await events.next())[1] == "open"
        _, name, data = await events.next()
        assert (name, data["reason"]) == ("end", "token_expired")


async def test_a_client_that_leaves_leaves_nothing_behind(served: Served) -> None:
    for _ in range(3):
        async with following(served) as events:
            await events.next()
            await until(lambda: served.peers.alerts.watchers == 1)
            assert served.feeds.listeners == 1
        await until(lambda: served.peers.alerts.watchers == 0 and served.feeds.listeners == 0)


async def test_a_client_that_takes_nothing_is_dropped(served: Served) -> None:
    """It never reads: sooner or later its socket is full, and then its time runs out."""
    port = int(served.url.rpartition(":")[2])
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        token = served.peers.token(Role.OPERATOR)
        deaf.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await until(lambda: served.feeds.listeners == 1)
        large = replace(an_alert(now=datetime.now(UTC)), reason="x" * 4000)
        async with asyncio.timeout(20):
            while served.feeds.listeners:
                served.peers.alerts.tell("sighted_again", large)
                await asyncio.sleep(0.001)
    await until(lambda: served.peers.alerts.watchers == 0)


async def test_listeners_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_stream, "MOST_LISTENERS", 2)
    async with following(served) as one, following(served) as two:
        await one.next()
        await two.next()
        async with served.client(Role.OPERATOR) as client:
            refused = await client.get(PATH)
        assert (refused.status_code, refused.json()["reason"]) == (503, "unavailable")


async def test_a_stopping_gateway_tells_its_listeners(tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(served_gateway(folder))
        await served.start_deployment()
        events = await stack.enter_async_context(following(served))
        await events.next()
        served.feeds.stop()
        _, name, data = await events.next()
        assert (name, data["reason"]) == ("end", "unavailable")
        with pytest.raises(StopAsyncIteration):
            await events.next()


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.APPLICANT, Role.ADMINISTRATOR])
async def test_others_do_not_get_it(served: Served, role: Role) -> None:
    async with served.client(role) as client:
        assert (await client.get(PATH)).status_code == 403


async def test_each_delivery_is_a_span_linked_to_its_cause(served: Served) -> None:
    with recorded_telemetry() as recorded:
        async with following(served) as events:
            await events.next()
            alert = an_alert(now=datetime.now(UTC))
            served.peers.alerts.tell("raised", alert)
            await events.next()
            await until(lambda: any(s.name == "gateway.deliver" for s in recorded.spans))
            assert recorded.value(Metric.LISTENERS) == 1
        (delivery,) = [s for s in recorded.spans if s.name == "gateway.deliver"]
        (link,) = delivery.links
        assert f"{link.context.trace_id:032x}" == alert.traceparent.split("-")[1]
        assert f"{link.context.span_id:016x}" == alert.traceparent.split("-")[2]
        assert delivery.context is not None
        assert delivery.context.trace_id != link.context.trace_id
        assert (delivery.attributes or {})["alert"] == alert.alert_id
        assert "case-2231" not in str(delivery.to_json())
        assert recorded.value(Metric.ALERT_DELIVERED_AFTER) == 1


async def test_requests_are_measured_by_their_pattern(served: Served) -> None:
    with recorded_telemetry() as recorded:
        async with served.client(Role.OPERATOR) as client:
            await client.get("/v1/deployments/market?x=secret")
            await client.get(
                "/v1/deployments/nowhere", headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
            )
            await client.request("BREW", "/v1/deployments")
        route = "/v1/deployments/{deployment}"
        assert recorded.value(Metric.HTTP_SERVED, method="GET", route=route, status="200") == 1
        assert recorded.value(Metric.HTTP_SERVED, method="GET", route=route, status="404") == 1
        assert recorded.value(Metric.HTTP_SERVED, method="other", route="/v1/deployments", status="405") == 1
        spans = [span for span in recorded.spans if span.name == "http.serve"]
        assert len(spans) == 3
        assert spans[1].context is not None
        assert f"{spans[1].context.trace_id:032x}" == "a" * 32, "the caller's trace goes on"
        assert "secret" not in "".join(span.to_json() for span in spans)
