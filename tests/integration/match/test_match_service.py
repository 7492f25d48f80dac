"""The whole of match on a real bus and the real engine."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from overt.api.alerts.v1.alerts_pb2 import EntryCard, SealedEvidence
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.crypto import sealing
from overt.errors import Rejected, Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt.rpc import to_overt_error
from overt.subjects import LISTS, SEARCH
from support.waiting import until
from support.watchlists import DEPLOYMENT, MemoryListKeys, entry, like, people, unit

pytestmark = pytest.mark.integration

Site = Any
AGREED, PENDING = pb.SearchReply.DECISION_AGREED, pb.SearchReply.DECISION_PENDING
NO_MATCH = pb.SearchReply.DECISION_NO_MATCH


async def refused(call: Any) -> Rejected:
    with pytest.raises(grpc.aio.AioRpcError) as fault:
        await call
    error = to_overt_error(fault.value)
    assert isinstance(error, Rejected), error
    return error


async def test_import_seal_search_agree_and_end(site: Site) -> None:
    replica = await site.start()
    templates = unit(200, 1)
    ids = await site.active(replica, templates)
    reply = await site.search(like(templates[7], 0.8), like(templates[7], 0.6, seed=2))
    assert (reply.decision, reply.entry_id, list(reply.agreeing)) == (AGREED, ids[7], [0, 1])
    assert reply.score == pytest.approx(0.6, abs=1e-3)
    card = EntryCard.FromString(sealing.unseal(site.private_key, reply.sealed_entry_card))
    assert card.subject_ref == "REF-00007"
    assert card.reference_jpeg == entry(7, [templates[7]]).references[0].jpeg
    assert (await site.search(unit(1, 99)[0])).decision == NO_MATCH
    listed = await replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT))
    assert (len(listed.entries), listed.sealed) == (200, True)

    await site.set(control.Deployment.STATE_ENDED)
    await site.answers(templates[7], when=lambda r: r.refused == Reason.WRONG_STATE)

    async def nothing_mapped() -> bool:
        return site.environment["OVERT_INDEX_DIR"] not in Path("/proc/self/maps").read_text()

    await until(nothing_mapped)
    assert (await refused(replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT)))).reason is Reason.WRONG_STATE
    await replica.stop()


async def test_two_replicas_share_the_searches_and_both_hear_a_removal(site: Site) -> None:
    one = await site.start()
    templates = unit(2000, 1)
    ids = await site.active(one, templates)
    other = await site.start()
    # Both answer: each of them alone, when the other has left the queue group.
    for _ in range(50):
        assert (await site.search(templates[3])).decision == PENDING

    began = time.monotonic()
    removing = asyncio.ensure_future(other.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=ids[3])))
    # Twenty answers in a row without it: of two replicas that take turns at random, both.
    in_a_row = 0
    while in_a_row < 20:
        in_a_row = in_a_row + 1 if (await site.search(templates[3])).decision == NO_MATCH else 0
        assert time.monotonic() - began < 2
    took = time.monotonic() - began
    reply = await removing
    print(f"\nremoved from both replicas after {took * 1000:.0f} ms, erased after {time.monotonic() - began:.2f} s")
    assert set(site.keys.keys.secrets[DEPLOYMENT]) == {2}
    # Erased in both memories as well: the new parts are loaded.
    await site.answers(templates[4], when=lambda r: r.list_revision >= reply.revision)

    await one.stop()
    for _ in range(20):
        assert (await site.search(templates[3])).decision == NO_MATCH
        assert (await site.search(templates[4])).decision == PENDING
    await other.stop()


async def test_a_restart_loads_the_snapshot(site: Site) -> None:
    first = await site.start()
    templates = unit(300, 1)
    ids = await site.active(first, templates)
    before = await first.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT))
    await first.stop()
    second = await site.start()
    # Loaded before it joined the queue group: the first answer is an answer.
    reply = await site.search(like(templates[7], 0.8), like(templates[7], 0.7))
    assert (reply.decision, reply.entry_id, reply.list_revision) == (AGREED, ids[7], before.revision)
    assert await second.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT)) == before


async def test_a_crash_of_the_bus_is_survived(site: Site) -> None:
    replica = await site.start()
    templates = unit(50, 1)
    ids = await site.active(replica, templates)
    site.nats.kill()
    site.nats.start()
    reply = None
    deadline = time.monotonic() + 20
    while reply is None or reply.refused:
        assert time.monotonic() < deadline
        try:
            reply = await site.search(templates[3])
        except Retryable:
            await asyncio.sleep(0.1)
    assert reply.decision == PENDING
    # And it hears what changes after it.
    await replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=ids[3]))
    await site.answers(templates[3], when=lambda r: r.decision == NO_MATCH)


async def test_the_wrong_secret_opens_nothing(site: Site) -> None:
    first = await site.start()
    templates = unit(20, 1)
    await site.active(first, templates)
    await first.stop()
    real, site.keys.keys = site.keys.keys, MemoryListKeys()
    second_starting = asyncio.create_task(site.start())
    # It does not wait for ever, and refuses what it cannot open.
    second = await asyncio.wait_for(second_starting, 30)
    assert (await site.search(templates[0])).refused == Reason.LIST_NOT_READY
    site.keys.keys = real
    reply = await site.answers(templates[0], when=lambda r: not r.refused)
    assert reply.decision == PENDING
    await second.stop()


async def test_poison_is_refused_and_the_service_lives(site: Site) -> None:
    replica = await site.start()
    templates = unit(20, 1)
    await site.active(replica, templates)
    subject = SEARCH.of(DEPLOYMENT)

    async def ask(request: Any) -> pb.SearchReply:
        return await site.ingest.request(subject, request, pb.SearchReply, timeout=timedelta(seconds=2))

    bad_template = pb.SearchRequest(deployment=DEPLOYMENT, probes=[pb.Probe(template=b"\x00" * 512)])
    for request in (bad_template, pb.SearchRequest(), pb.SearchRequest(deployment=DEPLOYMENT)):
        assert (await ask(request)).refused == Reason.BAD_MESSAGE
    # Bytes that are no SearchRequest: what should be a probe does not parse.
    with pytest.raises(Rejected) as fault:
        await ask(SealedEvidence(sealed=b"\xff\xff\xff"))
    assert fault.value.reason is Reason.BAD_MESSAGE
    assert (await site.search(templates[0])).decision == PENDING

    for entries, reason in (
        ([pb.Entry()], Reason.BAD_FIELD),
        ([], Reason.BAD_FIELD),
        (people(unit(1, 5), category="x"), Reason.WRONG_STATE),
    ):
        call = replica.rpc.Import(pb.ImportRequest(deployment=DEPLOYMENT, model_digest="m", entries=entries))
        assert (await refused(call)).reason in (reason, Reason.WRONG_STATE)
    assert (await refused(replica.rpc.List(pb.ListRequest(deployment="../etc")))).reason is Reason.BAD_FIELD
    assert (await refused(replica.rpc.List(pb.ListRequest(deployment="elsewhere")))).reason is Reason.UNKNOWN_DEPLOYMENT
    assert (await site.search(templates[0])).decision == PENDING


async def test_only_the_gateway_may_call(site: Site) -> None:
    replica = await site.start()
    address = str(replica.app._server._address)
    for role in (Role.SERVICE_INGEST, Role.SERVICE_MATCH, Role.ADMINISTRATOR):
        rpc, channel = site.client(address, role)
        assert (await refused(rpc.List(pb.ListRequest(deployment=DEPLOYMENT)))).reason is Reason.NOT_ALLOWED
        await channel.close()


async def test_nothing_readable_is_in_the_store(site: Site) -> None:
    """The broker's files, with its own encryption off: no template, no reference, no picture."""
    replica = await site.start()
    templates = unit(100, 1)
    ids = await site.active(replica, templates)
    await replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=ids[0]))
    stored = b"".join(p.read_bytes() for p in site.nats.store_dir.rglob("*") if p.is_file())
    assert LISTS.name.encode() in stored
    assert DEPLOYMENT.encode() in stored
    for hidden in (b"REF-000", b"warrant", b"custody", templates[5].tobytes(), b"\xff\xd8\xff\xe0"):
        assert hidden not in stored
