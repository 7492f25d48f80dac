"""A list with a calibration: how it comes into force, what it changes in a search, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from overt.api.alerts.v1.alerts_pb2 import EntryCard
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.cohort import Cohort
from overt.crypto import sealing
from overt.errors import Rejected, Retryable
from overt.limits import MAX_COHORT_BYTES
from overt.reasons import Reason
from overt.scoring import RARER, Normalisation, forecast, normalise, threshold_for
from overt_match.ports import ListSecret
from support.cohorts import TARGET, cohort
from support.waiting import until
from support.watchlists import DEPLOYMENT, MODEL, entry, like, unit

pytestmark = pytest.mark.unit

World = Any
AGREED, PENDING = pb.SearchReply.DECISION_AGREED, pb.SearchReply.DECISION_PENDING
NO_MATCH = pb.SearchReply.DECISION_NO_MATCH


async def refused(call: Any) -> Reason:
    with pytest.raises(Rejected) as fault:
        await call
    return fault.value.reason


def calibrating(content: bytes) -> pb.CalibrateRequest:
    return pb.CalibrateRequest(deployment=DEPLOYMENT, cohort=content)


async def calibrated(replica: Any, made: Cohort) -> pb.CalibrateReply:
    reply: pb.CalibrateReply = await replica.rpc.Calibrate(calibrating(made.to_bytes()), None)
    return reply


async def active(world: World, replica: Any, target: float = TARGET, **fields: Any) -> pb.Threshold:
    """Sealed and started with the threshold that sealing tells, as the gateway does it."""
    threshold = (await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT, target_fpir=target), None)).threshold
    values = {
        "threshold": threshold.score,
        "under_18_threshold": threshold.under_18_score,
        "target_fpir": threshold.target_fpir,
        "calibration_digest": threshold.calibration_digest,
    }
    await world.set(control.Deployment.STATE_ACTIVE, **{**values, **fields})
    return threshold


def between(one: NDArray[np.float32], other: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    mixed = share * one + (1 - share) * other
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)


def by_hand(made: Cohort, probes: NDArray[np.float32], listed: NDArray[np.float32]) -> NDArray[np.float64]:
    return normalise(probes @ listed.T, made.statistics(probes), made.statistics(listed), made.normalisation)


async def cohorts_left(world: World) -> int:
    """How many cohorts can still be read, with any secret that is left, in whatever was ever stored."""
    found = 0
    for name, sealed in world.ever_stored:
        for generation, secret in world.keys.secrets[DEPLOYMENT].items():
            with contextlib.suppress(Rejected):
                await _reads(world, name, sealed, ListSecret(secret, generation))
                found += 1
    return found


async def _reads(world: World, name: str, sealed: bytes, secret: ListSecret) -> None:
    snapshot = world.replicas[0].snapshot

    async def stored(deployment: str, name: str) -> bytes:
        return sealed

    was, snapshot._stored = snapshot._stored, stored
    try:
        await snapshot.read_cohort(DEPLOYMENT, name, secret)
    finally:
        snapshot._stored = was


async def test_a_search_answers_what_the_rule_says_by_hand(world: World) -> None:
    replica = await world.replica()
    made, listed = cohort(), unit(300, 1)
    reply = await calibrated(replica, made)
    ids = await world.imported(replica, listed)
    threshold = await active(world, replica)
    assert threshold.calibration_digest == reply.calibration.digest

    told = threshold_for(made.score_to_rate, target_fpir=TARGET, list_size=300)
    assert (threshold.score, threshold.under_18_score) == (told.score, told.under_18_score)
    assert threshold.extrapolated == told.extrapolated

    probes = np.stack([like(listed[7], 0.7, seed=1), like(listed[7], 0.6, seed=2)])
    scores = by_hand(made, probes, listed)
    assert scores[:, 7].min() > told.score
    answer = await replica.answers(*probes, when=lambda r: not r.refused)
    assert (answer.decision, answer.entry_id) == (AGREED, ids[7])
    assert answer.score == pytest.approx(scores[:, 7].min(), abs=1e-4)
    assert answer.threshold == pytest.approx(told.score, abs=1e-6)
    assert not answer.uncalibrated
    assert not answer.ambiguous
    assert (await replica.search(unit(1, 99)[0], unit(1, 98)[0])).decision == NO_MATCH


def wolf(seed: int) -> tuple[Cohort, NDArray[np.float32], NDArray[np.float32]]:
    """A cohort, two people on a list, and shots of the first to whom the second, like everybody in the cohort, has the
    higher cosine."""
    centre, right = unit(2, seed)
    made = cohort(near=centre)
    listed = np.stack([right, like(centre, 0.9, seed=seed)])
    probes = np.stack([between(right, listed[1], 0.48), between(right, listed[1], 0.47)])
    return made, listed, probes


async def test_the_right_entry_is_found_though_another_has_the_higher_cosine(world: World) -> None:
    replica = await world.replica()
    made, listed, probes = wolf(3)
    assert (probes @ listed.T).argmax(axis=1).tolist() == [1, 1]
    assert by_hand(made, probes, listed).argmax(axis=1).tolist() == [0, 0]
    await calibrated(replica, made)
    ids = await world.imported(replica, listed)
    await active(world, replica)
    answer = await replica.answers(*probes, when=lambda r: not r.refused)
    assert (answer.decision, answer.entry_id) == (AGREED, ids[0])


async def test_what_may_be_told_of_it(world: World) -> None:
    replica = await world.replica()
    reply = await calibrated(replica, cohort(misses=False))
    told = reply.calibration
    assert (told.people, told.templates, dict(told.groups)) == (200, 200, {"one": 100, "other": 100})
    assert (told.model_digest, told.source, told.legal_basis) == (MODEL, "nobody", "none is needed")
    assert (told.best, told.a, told.b, told.tells_misses) == (20, 1.0, 1.0, False)
    listed = await replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)
    assert (listed.revision, listed.calibration, list(listed.entries)) == (reply.revision, told, [])
    other = await world.replica()
    assert (await other.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)).calibration == told
    assert "nobody" not in repr(replica.lists._known[DEPLOYMENT].loaded)


async def test_it_is_put_in_force_before_anybody_is_listed(world: World) -> None:
    replica = await world.replica()
    content = cohort().to_bytes()
    (one,) = await world.imported(replica, unit(1, 1))
    assert await refused(replica.rpc.Calibrate(calibrating(content), None)) is Reason.LIST_NOT_EMPTY
    await replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=one), None)
    await replica.rpc.Calibrate(calibrating(content), None)
    await world.imported(replica, unit(1, 1))
    assert await refused(replica.rpc.Calibrate(calibrating(b""), None)) is Reason.LIST_NOT_EMPTY
    # The one in force may be put in force again: nothing changes.
    before = await world.head(replica)
    assert (await replica.rpc.Calibrate(calibrating(content), None)).revision == before.revision
    await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT, target_fpir=TARGET), None)
    another = calibrating(cohort(seed=5).to_bytes())
    assert await refused(replica.rpc.Calibrate(another, None)) is Reason.LIST_SEALED
    await world.set(control.Deployment.STATE_ACTIVE)
    assert await refused(replica.rpc.Calibrate(another, None)) is Reason.WRONG_STATE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no cohort", Reason.BAD_COHORT),
        (b"PK\x05\x06" + bytes(18), Reason.BAD_COHORT),
        (cohort().to_bytes()[:-900], Reason.BAD_COHORT),
        (cohort(mirrored=True).to_bytes(), Reason.BAD_COHORT),
        (bytes(MAX_COHORT_BYTES + 1), Reason.MESSAGE_TOO_LARGE),
    ],
    ids=["words", "an empty archive", "cut off", "mirrored", "too large"],
)
async def test_what_is_no_cohort_is_refused(world: World, content: bytes, reason: Reason) -> None:
    replica = await world.replica()
    assert await refused(replica.rpc.Calibrate(calibrating(content), None)) is reason
    assert await replica.snapshot.head(DEPLOYMENT) is None
    assert world.ever_stored == []


async def test_entries_of_another_model_are_refused(world: World) -> None:
    replica = await world.replica()
    await calibrated(replica, cohort(model_digest="sha256:another"))
    with pytest.raises(Rejected, match="calibration") as fault:
        await world.imported(replica, unit(2, 1))
    assert fault.value.reason is Reason.MODEL_MISMATCH
    await calibrated(replica, cohort(length=64))
    with pytest.raises(Rejected, match="length") as fault:
        await world.imported(replica, unit(2, 1))
    assert fault.value.reason is Reason.BAD_FIELD
    brought = entry(1, list(unit(1, 1)))
    brought.references[0].statistics.mean = 0.3
    request = pb.ImportRequest(deployment=DEPLOYMENT, model_digest=MODEL, entries=[brought])
    assert await refused(replica.rpc.Import(request, None)) is Reason.BAD_FIELD


async def test_a_cohort_of_another_model_than_the_list_s_is_refused(world: World) -> None:
    replica = await world.replica()
    request = calibrating(cohort().to_bytes())
    request.model_digest = "sha256:another"
    assert await refused(replica.rpc.Calibrate(request, None)) is Reason.MODEL_MISMATCH
    assert world.ever_stored == []
    request.model_digest = MODEL
    assert (await replica.rpc.Calibrate(request, None)).calibration.model_digest == MODEL


async def test_a_threshold_is_of_its_own_calibration(world: World) -> None:
    replica = await world.replica()
    made, listed = cohort(), unit(30, 1)
    await calibrated(replica, made)
    await world.imported(replica, listed)
    assert (
        await refused(replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT, target_fpir=1.0), None))
        is Reason.BAD_FIELD
    )
    assert await refused(replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT), None)) is Reason.BAD_FIELD
    await active(world, replica)
    await replica.answers(listed[0], when=lambda r: not r.refused)
    # A raw one, one of another calibration, one that is no number: nothing is searched.
    for wrong in ({"calibration_digest": ""}, {"calibration_digest": "b" * 64}, {"threshold": float("nan")}):
        await active(world, replica, **({"threshold": 0.4} | wrong))
        answer = await replica.answers(listed[0], when=lambda r: r.refused != "")
        assert answer == pb.SearchReply(refused=Reason.WRONG_STATE)
    await active(world, replica)
    assert not (await replica.answers(listed[0], when=lambda r: not r.refused)).uncalibrated


async def test_a_normalised_threshold_may_be_below_zero(world: World) -> None:
    replica = await world.replica()
    listed = unit(30, 1)
    await calibrated(replica, cohort(how=Normalisation(20, 2.0, 0.0)))
    await world.imported(replica, listed)
    threshold = await active(world, replica)
    assert threshold.score < 0
    answer = await replica.answers(listed[0], listed[0], when=lambda r: not r.refused)
    assert answer.decision == AGREED


async def test_who_is_about_as_like_is_shown_too(world: World) -> None:
    replica = await world.replica()
    made, listed = cohort(), unit(3, 1)
    first, second, _ = listed
    await calibrated(replica, made)
    ids = await world.imported(replica, listed)
    threshold = await active(world, replica)
    margin = threshold.under_18_score - threshold.score
    assert margin > 0

    def behind(shot: NDArray[np.float32]) -> float:
        of_first, of_second, _ = by_hand(made, shot[None], listed)[0]
        return float(of_first - of_second)

    shots = [between(first, second, share) for share in np.linspace(0.3, 0.7, 400)]
    probes = [
        next(shot for shot in shots if behind(shot) > 0),
        next(shot for shot in shots if behind(shot) > margin / 2),
    ]
    answer = await replica.answers(*probes, when=lambda r: not r.refused)
    assert (answer.decision, answer.entry_id, answer.ambiguous) == (AGREED, ids[0], True)
    card, rival = (
        EntryCard.FromString(sealing.unseal(world.private_key, sealed))
        for sealed in (answer.sealed_entry_card, answer.sealed_rival_card)
    )
    assert (card.entry_id, rival.entry_id) == (ids[0], ids[1])
    assert rival.reference_jpeg == entry(1, [second]).references[0].jpeg
    apart = [shot for shot in shots if behind(shot) > margin * 1.1][:2]
    answer = await replica.search(*apart)
    assert (answer.decision, answer.entry_id, answer.ambiguous) == (AGREED, ids[0], False)
    clear = await replica.search(first, like(first, 0.8))
    assert (clear.decision, clear.ambiguous, clear.sealed_rival_card) == (AGREED, False, b"")


async def test_entries_under_18_need_more(world: World) -> None:
    replica = await world.replica()
    made, listed = cohort(), unit(40, 1)
    await calibrated(replica, made)
    await world.imported(replica, listed[:20])
    young = await world.imported(replica, listed[20:], first=20, under_18=True)
    threshold = await active(world, replica)
    fmr, strict = (made.score_to_rate.fmr(s).value for s in (threshold.score, threshold.under_18_score))
    assert fmr / strict == pytest.approx(RARER, rel=0.05)
    for number, needed in ((7, 2), (27, 3)):
        shots = [like(listed[number], 0.8, seed=i) for i in range(3)]
        fewer = await replica.answers(*shots[: needed - 1], when=lambda r: not r.refused)
        assert fewer.decision == PENDING
        assert (await replica.search(*shots[:needed])).decision == AGREED
    answer = await replica.search(*(like(listed[27], 0.8, seed=i) for i in range(3)))
    assert answer.entry_id == young[7]
    assert answer.threshold == pytest.approx(threshold.under_18_score, abs=1e-6)
    # As like as suffices for the others only.
    level = next(
        c
        for c in np.linspace(0.2, 0.8, 601)
        if by_hand(made, like(listed[27], c)[None], listed)[0, 27] > threshold.score
    )
    shots = [like(listed[27], float(level))] * 3
    assert by_hand(made, shots[0][None], listed)[0, 27] < threshold.under_18_score
    assert (await replica.search(*shots)).decision == NO_MATCH


async def test_a_removal_keeps_it_and_the_statistics(world: World) -> None:
    replica = await world.replica()
    made, listed = cohort(), unit(30, 1)
    await calibrated(replica, made)
    ids = await world.imported(replica, listed)
    await active(world, replica)
    shots = (like(listed[7], 0.7), like(listed[7], 0.6))
    before = await replica.answers(*shots, when=lambda r: not r.refused)
    digest = (await world.head(replica)).digest
    await replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=ids[3]), None)
    head = await world.head(replica)
    assert (head.generation, head.digest != digest, head.cohort_to_erase) == (2, True, False)
    assert await cohorts_left(world) == 1
    for other in (replica, await world.replica()):
        after = await other.answers(*shots, when=lambda r: r.list_revision == head.revision)
        assert (after.decision, after.entry_id, after.score) == (AGREED, ids[7], before.score)


async def test_a_cohort_that_is_replaced_is_erased(world: World) -> None:
    replica = await world.replica()
    first, second = cohort(), cohort(seed=5)
    await calibrated(replica, first)
    assert await cohorts_left(world) == 1
    reply = await calibrated(replica, second)
    head = await world.head(replica)
    assert (head.revision, head.generation, head.cohort_to_erase) == (reply.revision, 2, False)
    assert await cohorts_left(world) == 1
    assert len(await replica.snapshot.names(DEPLOYMENT)) == 1
    loaded = await replica.lists.at(DEPLOYMENT, head.revision)
    np.testing.assert_array_equal(loaded.cohort.templates, second.templates)
    none = await replica.rpc.Calibrate(calibrating(b""), None)
    assert not none.HasField("calibration")
    assert await cohorts_left(world) == 0
    assert await replica.snapshot.names(DEPLOYMENT) == []
    # Uncalibrated as if there had never been one.
    listed = unit(5, 1)
    await world.active(replica, listed)
    answer = await replica.search(listed[0])
    assert (answer.decision, answer.uncalibrated) == (PENDING, True)


async def test_a_kill_before_the_old_cohort_is_erased_is_made_good(world: World) -> None:
    first = await world.replica()
    await calibrated(first, cohort())
    await first.lists.at(DEPLOYMENT, 1)  # It has heard of the list, and looked whether something is to be erased.
    await first.erasure.idle()
    erasing = asyncio.Event()

    async def never(deployment: str) -> int:
        erasing.set()
        await asyncio.Event().wait()
        return 0

    first.erasure._erase = never
    replacing = asyncio.create_task(calibrated(first, cohort(seed=5)))
    await asyncio.wait_for(erasing.wait(), 5)
    await first.kill()
    replacing.cancel()
    head = await world.head(first)
    assert head.cohort_to_erase
    assert await cohorts_left(world) == 2
    next_life = await world.replica()

    async def erased() -> bool:
        return not (await world.head(next_life)).cohort_to_erase and next_life.erasure._idle.is_set()

    await until(erased)
    assert await cohorts_left(world) == 1
    assert (await world.head(next_life)).calibration_digest == head.calibration_digest


async def test_nothing_of_it_can_be_read_once_the_list_is_destroyed(world: World) -> None:
    replica = await world.replica()
    await calibrated(replica, cohort())
    ids = await world.imported(replica, unit(5, 1))
    assert await world.readable() == set(ids)
    await replica.rpc.Destroy(pb.DestroyRequest(deployment=DEPLOYMENT), None)
    assert await cohorts_left(world) == 0
    assert await world.readable() == set()
    assert await replica.snapshot.names(DEPLOYMENT) == []
    head = await world.head(replica)
    assert (head.calibration, head.calibration_part) == (None, "")
    assert await refused(calibrated(replica, cohort())) is Reason.WRONG_STATE

    async def forgotten() -> bool:
        return replica.lists._known[DEPLOYMENT].loaded is None

    await until(forgotten)


async def test_two_at_once(world: World) -> None:
    one, other = await world.replica(), await world.replica()
    await asyncio.gather(*(calibrated((one, other)[i % 2], cohort(seed=i)) for i in range(4)))
    await one.erasure.idle()
    await other.erasure.idle()
    head = await world.head(one)
    assert not head.cohort_to_erase
    loaded = await other.lists.at(DEPLOYMENT, head.revision)
    assert loaded.head.calibration_digest == head.calibration_digest


async def test_a_cohort_under_a_part_s_name_is_not_opened(world: World) -> None:
    replica = await world.replica()
    await calibrated(replica, cohort())
    await world.imported(replica, unit(2, 1))
    head = await world.head(replica)
    secret = await world.keys.secret(DEPLOYMENT)
    for read, name in ((replica.snapshot.read, head.calibration_part), (replica.snapshot.read_cohort, head.parts[0])):
        assert await refused(read(DEPLOYMENT, name, secret)) is Reason.BAD_MESSAGE


async def test_alerts_away_is_no_calibration(world: World) -> None:
    replica = await world.replica()
    world.keys.away = True
    with pytest.raises(Retryable):
        await calibrated(replica, cohort())
    assert await replica.snapshot.head(DEPLOYMENT) is None


# Forecast


def asking(footfall: int = 1200, **fields: Any) -> pb.ForecastRequest:
    return pb.ForecastRequest(deployment=DEPLOYMENT, footfall=footfall, **fields)


async def test_a_forecast_is_the_one_of_the_file(world: World) -> None:
    replica = await world.replica()
    made = cohort()
    await calibrated(replica, made)
    told = await replica.rpc.Forecast(asking(list_size=800, target_fpir=1e-2), None)
    score = threshold_for(made.score_to_rate, target_fpir=1e-2, list_size=800).score
    expected = forecast(made.score_to_rate, made.misses, list_size=800, footfall=1200, threshold=score)
    assert (told.list_size, told.footfall, told.score) == (800, 1200, score)
    assert (told.fpir.value, told.false_alerts.value) == (expected.fpir, expected.false_alerts)
    assert (told.false_alerts.low, told.false_alerts.high) == (expected.low, expected.high)
    assert told.fpir.low <= told.fpir.value <= told.fpir.high
    assert expected.misses is not None
    assert (told.missed.value, told.missed.high) == (expected.misses.value, expected.misses.high)
    assert told.false_alerts.extrapolated == expected.extrapolated
    assert told.calibration == (await replica.rpc.List(pb.ListRequest(deployment=DEPLOYMENT), None)).calibration

    # With a threshold of its own; of the list as it is, which counts references; of the deployment once it has started.
    assert (await replica.rpc.Forecast(asking(list_size=800, score=score), None)) == told
    listed = unit(6, 1)
    request = pb.ImportRequest(
        deployment=DEPLOYMENT, model_digest=MODEL, entries=[entry(1, list(listed[:2])), entry(2, list(listed[2:]))]
    )
    await replica.rpc.Import(request, None)
    assert (await replica.rpc.Forecast(asking(score=score), None)).list_size == 6
    threshold = await active(world, replica, 1e-3)
    own = await replica.rpc.Forecast(asking(), None)
    assert own.score == pytest.approx(threshold.score, abs=1e-6)


async def test_a_draft_is_foretold_by_its_own_target(world: World) -> None:
    replica = await world.replica()
    made = cohort(misses=False)
    await calibrated(replica, made)
    digest = (await world.head(replica)).calibration_digest
    # As the gateway leaves it: the digest is there, the threshold is yet to be made.
    await world.set(control.Deployment.STATE_DRAFT, target_fpir=1e-3, calibration_digest=digest, threshold=0.0)
    told = await replica.rpc.Forecast(asking(list_size=100), None)
    assert told.score == threshold_for(made.score_to_rate, target_fpir=1e-3, list_size=100).score
    assert not told.HasField("missed")


async def test_what_cannot_be_foretold_is_told(world: World) -> None:
    replica = await world.replica()
    assert await refused(replica.rpc.Forecast(asking(list_size=8), None)) is Reason.UNCALIBRATED
    await calibrated(replica, cohort())
    for request, reason in (
        (asking(target_fpir=1e-3), Reason.LIST_EMPTY),
        (asking(list_size=8), Reason.BAD_FIELD),
        (asking(list_size=8, target_fpir=1e-3, score=0.4), Reason.BAD_FIELD),
        (asking(list_size=8, target_fpir=0.0), Reason.BAD_FIELD),
        (asking(list_size=8, score=float("nan")), Reason.BAD_FIELD),
        (asking(0, list_size=8, score=1.0), Reason.BAD_FIELD),
        (asking(2**32 - 1, list_size=8, score=1.0), Reason.BAD_FIELD),
    ):
        assert await refused(replica.rpc.Forecast(request, None)) is reason
    await world.set(control.Deployment.STATE_ENDED)
    assert await refused(replica.rpc.Forecast(asking(list_size=8, score=1.0), None)) is Reason.WRONG_STATE
