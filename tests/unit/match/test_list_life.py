"""A list from import to its end, on memory's bus: who may do what when, and what is left."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from overt.api.alerts.v1.alerts_pb2 import EntryCard
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.crypto import sealing
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.scoring import UNDER_18_ABOVE
from overt.subjects import LISTS
from support.waiting import until
from support.watchlists import DEPLOYMENT, MODEL, entry, like, people, unit

pytestmark = pytest.mark.unit

World = Any
AGREED, PENDING = pb.SearchReply.DECISION_AGREED, pb.SearchReply.DECISION_PENDING
NO_MATCH = pb.SearchReply.DECISION_NO_MATCH


async def refused(call: Any) -> Reason:
    with pytest.raises(Rejected) as fault:
        await call
    return fault.value.reason


def importing(*entries: pb.Entry, model_digest: str = MODEL) -> pb.ImportRequest:
    return pb.ImportRequest(deployment=DEPLOYMENT, model_digest=model_digest, entries=entries)


async def test_import_seal_search_agree(world: World) -> None:
    replica = await world.replica()
    templates = unit(50, 1)
    ids = await world.active(replica, templates)

    stranger = unit(1, 99)[0]
    assert (await replica.search(stranger, stranger)).decision == NO_MATCH
    one = await replica.search(like(templates[7], 0.8))
    assert (one.decision, one.entry_id, one.score, one.sealed_entry_card) == (PENDING, "", 0.0, b"")
    assert list(one.agreeing) == [0]

    both = await replica.search(like(templates[7], 0.8), stranger, like(templates[7], 0.6, seed=3))
    assert (both.decision, both.entry_id, list(both.agreeing)) == (AGREED, ids[7], [0, 2])
    assert both.score == pytest.approx(0.6, abs=1e-3)
    assert both.threshold == pytest.approx(0.4)
    assert both.uncalibrated
    assert both.list_revision == (await world.head(replica)).revision

    card = EntryCard.FromString(sealing.unseal(world.private_key, both.sealed_entry_card))
    assert (card.entry_id, card.subject_ref, card.reason) == (ids[7], "REF-00007", "did not appear")
    assert card.reference_jpeg == entry(7, [templates[7]]).references[0].jpeg


async def test_the_card_shows_the_reference_that_is_most_alike(world: World) -> None:
    replica = await world.replica()
    first, second = unit(2, 1)
    listed = entry(1, [first, second])
    await replica.rpc.Import(importing(listed), None)
    await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)
    await world.set(control.Deployment.STATE_ACTIVE)
    probes = (like(first, 0.5), like(second, 0.9))
    reply = await replica.answers(*probes, when=lambda r: r.decision == AGREED)
    card = EntryCard.FromString(sealing.unseal(world.private_key, reply.sealed_entry_card))
    assert card.reference_jpeg == listed.references[1].jpeg


async def test_a_batch_goes_in_whole_or_not_at_all(world: World) -> None:
    replica = await world.replica()
    bad = people(unit(3, 1))
    bad[2].category = "no_reason_at_all"
    assert await refused(replica.rpc.Import(importing(*bad), None)) is Reason.UNKNOWN_CATEGORY
    assert await replica.snapshot.head(DEPLOYMENT) is None
    assert (await replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)).entries == []

    await world.imported(replica, unit(2, 1))
    assert await refused(replica.rpc.Import(importing(*people(unit(3, 2))), None)) is Reason.DUPLICATE_SUBJECT
    listed = await replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)
    assert [e.subject_ref for e in listed.entries] == ["REF-00000", "REF-00001"]
    assert (listed.revision, listed.sealed, listed.model_digest) == (1, False, MODEL)
    assert listed.entries[0].references == 1


async def test_a_list_is_of_one_model(world: World) -> None:
    replica = await world.replica()
    assert await refused(replica.rpc.Import(importing(*people(unit(1, 1)), model_digest=""), None)) is Reason.BAD_FIELD
    await world.imported(replica, unit(1, 1))
    other = importing(*people(unit(1, 2), first=5), model_digest="sha256:another")
    assert await refused(replica.rpc.Import(other, None)) is Reason.MODEL_MISMATCH
    longer = importing(*people(unit(1, 2, length=512), first=5))
    assert await refused(replica.rpc.Import(longer, None)) is Reason.BAD_FIELD


async def test_imports_of_two_replicas_at_once_all_arrive(world: World) -> None:
    one, other = await world.replica(), await world.replica()
    await asyncio.gather(
        *(world.imported((one, other)[i % 2], unit(5, i), first=10 * i) for i in range(4)),
    )
    listed = await other.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)
    assert len({e.subject_ref for e in listed.entries}) == 20
    assert (await world.head(one)).size == 20


async def test_nothing_is_added_to_a_sealed_list(world: World) -> None:
    replica = await world.replica()
    assert await refused(replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)) is Reason.WRONG_STATE
    await world.imported(replica, unit(3, 1))
    first = await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)
    assert (len(first.digest), first.size) == (64, 3)
    assert await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None) == first
    another = importing(*people(unit(1, 2), first=9))
    assert await refused(replica.rpc.Import(another, None)) is Reason.LIST_SEALED
    await world.set(control.Deployment.STATE_ACTIVE)
    assert await refused(replica.rpc.Import(another, None)) is Reason.WRONG_STATE


async def test_searches_that_are_refused_say_why(world: World) -> None:
    replica = await world.replica()
    probe = unit(1, 5)[0]

    async def why(state: control.Deployment.State, reason: Reason) -> None:
        await world.set(state)
        reply = await replica.answers(probe, when=lambda r: r.refused == reason)
        assert reply == pb.SearchReply(refused=reason)

    await why(control.Deployment.STATE_DRAFT, Reason.WRONG_STATE)
    await why(control.Deployment.STATE_ACTIVE, Reason.LIST_NOT_READY)
    await world.set(control.Deployment.STATE_DRAFT)
    await world.imported(replica, unit(3, 1))
    await why(control.Deployment.STATE_ACTIVE, Reason.LIST_NOT_SEALED)
    await world.set(control.Deployment.STATE_DRAFT)
    await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)
    await world.set(control.Deployment.STATE_ACTIVE)
    await replica.answers(probe, when=lambda r: not r.refused)
    assert (await replica.search(probe, model_digest="sha256:another")).refused == Reason.MODEL_MISMATCH
    assert (await replica.search(unit(1, 1, length=64)[0])).refused == Reason.BAD_MESSAGE
    assert (await replica.search(probe, deployment_id="elsewhere")).refused == Reason.BAD_MESSAGE
    assert (await replica.search()).refused == Reason.BAD_MESSAGE
    await why(control.Deployment.STATE_SUSPENDED, Reason.WRONG_STATE)
    assert not (await replica.answers(probe, when=lambda r: True)).decision


async def test_nothing_is_searched_after_the_window(world: World) -> None:
    replica = await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    await world.set(control.Deployment.STATE_ACTIVE, ends_at=world.clock.now())
    reply = await replica.answers(templates[0], when=lambda r: r.refused != "")
    assert reply.refused == Reason.OUTSIDE_WINDOW


async def test_an_entry_past_its_expiry_no_longer_matches(world: World) -> None:
    replica = await world.replica()
    templates = unit(2, 1)
    soon = world.clock.now().replace(minute=30)
    await world.imported(replica, templates[:1], expires_at=soon)
    await world.active(replica, templates[1:], first=5)
    assert (await replica.search(templates[0])).decision == PENDING
    world.clock.jump(soon)
    assert (await replica.search(templates[0])).decision == NO_MATCH
    assert (await replica.search(templates[1])).decision == PENDING
    # A replica that starts later does not even put it into its index.
    later = await world.replica()
    reply = await later.answers(templates[0], when=lambda r: not r.refused)
    assert reply.decision == NO_MATCH


async def test_a_replica_that_hears_nothing_refuses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    world.bus.broker.down()
    monkeypatch.setattr("overt_match.in_force.STALE_AFTER", timedelta(0))
    await asyncio.sleep(0.01)
    assert (await replica.search(templates[0])).refused == Reason.LIST_NOT_READY
    monkeypatch.undo()
    world.bus.broker.up()
    assert not (await replica.search(templates[0])).refused


async def test_ended_drops_everything(world: World) -> None:
    replica = await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    await world.set(control.Deployment.STATE_ENDED)

    async def gone() -> bool:
        return all(index.closed for index in replica.indexes.built)

    await until(gone)
    assert (await replica.search(templates[0])).refused == Reason.WRONG_STATE
    for call in (
        replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None),
        replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=str(uuid.uuid4())), None),
        replica.rpc.Import(importing(*people(unit(1, 1))), None),
    ):
        assert await refused(call) is Reason.WRONG_STATE
    assert "DEPLOYMENT" not in repr(replica.lists)
    with pytest.raises(Retryable):
        await replica.lists.at(DEPLOYMENT, 1, within=0.01)


async def test_destroy_leaves_nothing_readable(world: World) -> None:
    replica, other = await world.replica(), await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    for _ in range(2):
        await replica.rpc.Destroy(pb.DestroyRequest(deployment=DEPLOYMENT), None)
    assert await replica.snapshot.names(DEPLOYMENT) == []
    assert 1 not in world.keys.secrets[DEPLOYMENT]
    head = await world.head(replica)
    assert (head.destroyed, head.size, head.parts) == (True, 0, ())
    for one in (replica, other):
        reply = await one.answers(templates[0], when=lambda r: r.refused != "")
        assert reply.refused == Reason.LIST_NOT_READY

        async def closed(one: Any = one) -> bool:
            return all(index.closed for index in one.indexes.built)

        await until(closed)
    await world.set(control.Deployment.STATE_DRAFT)
    assert await refused(replica.rpc.Import(importing(*people(templates)), None)) is Reason.WRONG_STATE
    # There never was a list, or its secrets went with the deployment: nothing to do, no fault.
    await replica.rpc.Destroy(pb.DestroyRequest(deployment="elsewhere"), None)
    world.keys.end(DEPLOYMENT)
    await replica.rpc.Destroy(pb.DestroyRequest(deployment=DEPLOYMENT), None)


async def test_unknown_deployments_and_bad_ids(world: World) -> None:
    replica = await world.replica()
    for rpc, request in (
        (replica.rpc.List, pb.ListRequest),
        (replica.rpc.Seal, pb.SealRequest),
        (replica.rpc.Remove, pb.RemoveRequest),
        (replica.rpc.Import, pb.ImportRequest),
    ):
        assert await refused(rpc(request(deployment="elsewhere"), None)) is Reason.UNKNOWN_DEPLOYMENT
        assert await refused(rpc(request(deployment="not.an.id"), None)) is Reason.BAD_FIELD


async def test_with_the_wrong_secret_nothing_is_loaded_and_nobody_falls(world: World) -> None:
    replica = await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    robbed = await world.replica(keys=type(world.keys)())
    assert (await robbed.search(templates[0])).refused == Reason.LIST_NOT_READY
    assert not (await replica.search(templates[0])).refused


async def test_a_list_that_is_not_the_one_that_was_sealed_is_not_loaded(world: World) -> None:
    replica = await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    bucket = world.bus.bucket(LISTS)
    revision, value = await bucket.get(DEPLOYMENT)
    forged = pb.ListHead.FromString(value)
    forged.revision, forged.digest = forged.revision + 1, "0" * 64
    await bucket.update(DEPLOYMENT, forged, revision)
    late = await world.replica()
    assert (await late.search(templates[0])).refused == Reason.LIST_NOT_READY


async def test_a_value_that_is_no_message_stops_the_search_and_not_the_service(world: World) -> None:
    replica = await world.replica()
    templates = unit(3, 1)
    await world.active(replica, templates)
    bucket = world.bus.bucket(LISTS)
    revision, value = await bucket.get(DEPLOYMENT)
    revision = await bucket.update(DEPLOYMENT, b"\xff\xff", revision)
    assert (await replica.answers(templates[0], when=lambda r: r.refused != "")).refused
    await bucket.update(DEPLOYMENT, value, revision)
    assert (await replica.answers(templates[0], when=lambda r: not r.refused)).decision == PENDING


async def test_a_list_is_loaded_when_the_keys_are_back(world: World) -> None:
    first = await world.replica()
    templates = unit(3, 1)
    await world.active(first, templates)
    world.keys.away = True
    late = await world.replica()
    assert (await late.search(templates[0])).refused == Reason.LIST_NOT_READY
    world.keys.away = False
    assert (await late.answers(templates[0], when=lambda r: not r.refused)).decision == PENDING


async def test_entries_under_18_need_more_without_a_calibration_too(world: World) -> None:
    replica = await world.replica()
    (young,) = await world.active(replica, unit(1, 3), under_18=True)
    (listed,) = unit(1, 3)
    shots = [like(listed, 0.8, seed=i) for i in range(3)]
    assert (await replica.search(*shots[:2])).decision == pb.SearchReply.DECISION_PENDING
    answer = await replica.search(*shots)
    assert (answer.decision, answer.entry_id) == (pb.SearchReply.DECISION_AGREED, young)
    just_above = answer.threshold - UNDER_18_ABOVE / 2
    below = [like(listed, just_above, seed=i) for i in range(3)]
    assert (await replica.search(*below)).decision == pb.SearchReply.DECISION_NO_MATCH


async def test_who_is_about_as_like_is_shown_without_a_calibration_too(world: World) -> None:
    replica = await world.replica()
    one = unit(1, 3)[0]
    twin = like(one, 0.99)
    await world.active(replica, np.stack([one, twin]))
    answer = await replica.search(like(one, 0.8, seed=1), like(one, 0.8, seed=2))
    assert answer.decision == pb.SearchReply.DECISION_AGREED
    assert answer.ambiguous
    assert answer.sealed_rival_card
