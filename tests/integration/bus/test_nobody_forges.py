"""A client chooses the reply subject of a request, and the deliver subject of a consumer. Neither writes anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from overt.api.match.v1.match_pb2 import SearchReply, SearchRequest
from overt.bus import Delivery, NatsBus
from overt.subjects import ALERT, DEPLOYMENTS, EVIDENCE, LEDGER, LISTS, SEARCH, Service

pytestmark = pytest.mark.integration

DEP = "dep-1"
TARGETS = (
    f"$KV.{DEPLOYMENTS.name}.forged",
    f"$KV.{LISTS.name}.forged",
    EVIDENCE.of(DEP, "forged"),
    ALERT.of(DEP, "forged", "record"),
)


async def _nothing_forged(buses: dict[Service, NatsBus]) -> None:
    assert await buses[Service.INGEST].bucket(DEPLOYMENTS).get("forged") is None
    assert await buses[Service.MATCH].bucket(LISTS).get("forged") is None
    alerts = buses[Service.ALERTS]
    assert await alerts.last(EVIDENCE, DEP, TARGETS[2]) is None
    assert await alerts.last(ALERT, DEP, TARGETS[3]) is None
    watch = buses[Service.MATCH].bucket(DEPLOYMENTS).watch()
    async for change in watch:
        if change.is_marker:
            break
        assert b"FORGED" not in (change.value or b"")
        assert "forged" not in change.key
    await watch.aclose()
    assert not [s async for s in alerts.latest(EVIDENCE, DEP) if b"FORGED" in s.data]


async def test_a_reply_subject_writes_nowhere(plain: dict[Service, Any], buses: dict[Service, NatsBus]) -> None:
    """ingest may write ledger receipts and read them back: it asks for its own bytes to be sent elsewhere."""
    receipt = LEDGER.of(DEP, "cam")
    await buses[Service.INGEST].append(receipt, b"FORGED")
    ingest = plain[Service.INGEST]
    read = await ingest.client.request(f"STORE.DIRECT.GET.{LEDGER.stream(DEP)}.{receipt}")
    assert read.data == b"FORGED"

    async def answer(_: str, request: SearchRequest) -> SearchReply:
        return SearchReply(entry_id="FORGED")

    await buses[Service.MATCH].serve(SEARCH, SearchRequest, answer, name="search")
    for target in TARGETS:
        for prefix in ("STORE.", "$JS.API."):
            await ingest.may_publish(f"{prefix}DIRECT.GET.{LEDGER.stream(DEP)}.{receipt}", reply=target)
        # The store's word on a publish, and match's answer to a search, as a deployment.
        await ingest.may_publish(receipt, b"FORGED", reply=target)
        await ingest.may_publish(SEARCH.of(DEP), b"", reply=target)
    await _nothing_forged(buses)


async def test_a_deliver_subject_writes_nothing_that_anybody_reads(
    plain: dict[Service, Any], buses: dict[Service, NatsBus]
) -> None:
    receipt = LEDGER.of(DEP, "cam")
    await buses[Service.INGEST].append(receipt, b"FORGED")
    got: list[Delivery] = []

    async def handler(delivery: Delivery) -> None:
        got.append(delivery)

    await buses[Service.ALERTS].consume(EVIDENCE, DEP, "alerts", handler)
    for number, target in enumerate(TARGETS):
        config = {
            "name": f"forger{number}",
            "filter_subject": LEDGER.all_of(DEP),
            "deliver_subject": target,
            "ack_policy": "none",
            "deliver_policy": "all",
            "mem_storage": True,
            "inactive_threshold": 10**9,
        }
        call = f"STORE.CONSUMER.CREATE.{LEDGER.stream(DEP)}.forger{number}.{LEDGER.all_of(DEP)}"
        body = json.dumps({"stream_name": LEDGER.stream(DEP), "config": config}).encode()
        assert await plain[Service.INGEST].may_publish(call, body)
    # Something else through each stream, so that what was forged would have arrived before it.
    await buses[Service.GATEWAY].bucket(DEPLOYMENTS).create("after", b"x")
    await buses[Service.INGEST].append(EVIDENCE.of(DEP, "after"), b"x")
    await _nothing_forged(buses)
    assert [d.data for d in got if b"FORGED" in d.data] == []
