"""A calibrated list on a real bus and the real engine: the score is the rule's, and the cohort is sealed and goes."""

from __future__ import annotations

from typing import Any

import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray
from overt.api.alerts.v1.alerts_pb2 import EntryCard
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.cohort import Cohort
from overt.crypto import sealing
from overt.errors import Rejected
from overt.limits import MAX_COHORT_BYTES
from overt.reasons import Reason
from overt.rpc import to_overt_error
from overt.scoring import SHORTLIST, Candidate, ProbeScores, Under18, decide, normalise, threshold_for
from support.cohorts import TARGET, cohort
from support.waiting import until
from support.watchlists import AT, DEPLOYMENT, MODEL, entry, like, people, unit

pytestmark = pytest.mark.integration

Site = Any
AGREED = pb.SearchReply.DECISION_AGREED


async def refused(call: Any) -> Reason:
    with pytest.raises(grpc.aio.AioRpcError) as fault:
        await call
    error = to_overt_error(fault.value)
    assert isinstance(error, Rejected), error
    return error.reason


def calibrating(content: bytes) -> pb.CalibrateRequest:
    return pb.CalibrateRequest(deployment=DEPLOYMENT, cohort=content)


async def active(site: Site, replica: Any, first: NDArray[np.float32]) -> pb.Threshold:
    """As the gateway does it; the replica answers."""
    sealed = await replica.rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT, target_fpir=TARGET))
    threshold: pb.Threshold = sealed.threshold
    await site.set(
        control.Deployment.STATE_ACTIVE,
        threshold=threshold.score,
        under_18_threshold=threshold.under_18_score,
        target_fpir=threshold.target_fpir,
        calibration_digest=threshold.calibration_digest,
    )
    await site.answers(first, when=lambda r: not r.refused)
    return threshold


def crowded(count: int) -> tuple[Cohort, NDArray[np.float32], list[NDArray[np.float32]]]:
    """A cohort whose people resemble one another; a list of whom twenty resemble them too, the first being quite
    another person; and two bad shots of that first one, which look like the crowd: most of those have higher cosines.
    """
    centre, right = unit(2, 11)
    crowd = np.stack([like(centre, 0.85, seed=i) for i in range(20)])
    listed = np.concatenate([right[None], unit(count - len(crowd) - 1, 12), crowd])
    shots = []
    for number in range(2):
        shot = 0.55 * right + 0.62 * centre + 0.3 * unit(1, 50 + number)[0]
        shots.append(np.asarray(shot / np.linalg.norm(shot), np.float32))
    return cohort(near=centre), listed, shots


def by_hand(made: Cohort, shots: list[NDArray[np.float32]], listed: NDArray[np.float32]) -> list[dict[int, float]]:
    """For each shot the scores of the SHORTLIST best cosines, by overt.scoring alone."""
    found = []
    for shot in shots:
        cosines = listed @ shot
        best = np.argsort(-cosines, kind="stable")[:SHORTLIST]
        of_probe = made.statistics(shot[None])
        scores = normalise(cosines[best], of_probe, made.statistics(listed[best]), made.normalisation)
        found.append(dict(zip(best.tolist(), scores.tolist(), strict=True)))
    return found


async def test_it_finds_whom_the_cosine_does_not_and_scores_as_the_rule_says(site: Site) -> None:
    replica = await site.start()
    made, listed, shots = crowded(400)
    ranks = [int((listed @ shot > listed[0] @ shot).sum()) for shot in shots]
    assert min(ranks) > 0, "others have higher cosines"
    assert max(ranks) < SHORTLIST
    reply = await replica.rpc.Calibrate(calibrating(made.to_bytes()))
    assert (reply.calibration.people, reply.calibration.model_digest) == (200, MODEL)
    ids = await site.imported(replica, listed)
    threshold = await active(site, replica, listed[0])
    told = threshold_for(made.score_to_rate, target_fpir=TARGET, list_size=400)
    assert (threshold.score, threshold.under_18_score) == (told.score, told.under_18_score)

    scores = by_hand(made, shots, listed)
    verdict = decide(
        [
            ProbeScores(AT.replace(second=i), [Candidate(str(row), s) for row, s in of_shot.items()])
            for i, of_shot in enumerate(scores)
        ],
        threshold=told.score,
        margin=told.margin,
        under_18=Under18((), told.under_18_score),
        uncalibrated=False,
    )
    assert verdict.entry_id == "0"
    answer = await site.search(*shots)
    assert (answer.decision, answer.entry_id, list(answer.agreeing)) == (AGREED, ids[0], list(verdict.agreeing))
    assert answer.score == pytest.approx(verdict.score, abs=1e-4)
    assert (answer.uncalibrated, answer.ambiguous) == (False, verdict.ambiguous)
    card = EntryCard.FromString(sealing.unseal(site.private_key, answer.sealed_entry_card))
    assert card.subject_ref == "REF-00000"

    # Removed, sealed anew, and loaded by a replica that has never seen the cohort before: the same answer.
    removed = await replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=ids[5]))
    assert set(site.keys.keys.secrets[DEPLOYMENT]) == {2}
    await replica.stop()
    other = await site.start()
    again = await site.answers(*shots, when=lambda r: r.list_revision >= removed.revision)
    assert again.entry_id == ids[0]
    assert again.score == pytest.approx(answer.score, abs=1e-4)  # Its index is turned another way.
    foretold = await other.rpc.Forecast(pb.ForecastRequest(deployment=DEPLOYMENT, footfall=1200))
    assert (foretold.list_size, foretold.calibration.digest) == (399, reply.calibration.digest)


async def test_nothing_readable_of_it_is_in_the_store_and_nothing_is_left(site: Site) -> None:
    """The broker's files, with its own encryption off."""
    replica = await site.start()
    made, listed = cohort(), unit(60, 1)
    await replica.rpc.Calibrate(calibrating(made.to_bytes()))
    ids = await site.imported(replica, listed)
    await active(site, replica, listed[0])
    await replica.rpc.Remove(pb.RemoveRequest(deployment=DEPLOYMENT, entry_id=ids[0]))
    known = made.statistics(listed)
    wire_of_one = pb.CohortStatistics(mean=known.mean[5], deviation=known.deviation[5]).SerializeToString()
    hidden = [
        *(made.templates[i].tobytes() for i in (0, 77, 199)),
        *(known.mean[i].tobytes() for i in range(60)),
        *(known.deviation[i].tobytes() for i in range(60)),
        wire_of_one,
        b"rate_scores",
        b"templates.npy",
    ]

    def stored() -> bytes:
        return b"".join(p.read_bytes() for p in site.nats.store_dir.rglob("*") if p.is_file())

    content = stored()
    assert DEPLOYMENT.encode() in content
    assert MODEL.encode() in content, "what may be told of it is in the head"
    assert not [part for part in hidden if part in content]
    assert wire_of_one in next(
        e.SerializeToString() for e in _with_statistics(listed[5:6], known.mean[5], known.deviation[5])
    ), "what is looked for is what a part holds"

    await replica.rpc.Destroy(pb.DestroyRequest(deployment=DEPLOYMENT))
    assert await replica.app._bus.objects(DEPLOYMENT).names() == []
    assert min(site.keys.keys.secrets[DEPLOYMENT]) > 2, "what it was sealed with is gone"
    await site.answers(listed[0], when=lambda r: r.refused == Reason.LIST_NOT_READY)
    assert not [part for part in hidden if part in stored()]
    lists: Any = replica.app._lists

    async def forgotten() -> bool:
        return lists._known[DEPLOYMENT].loaded is None

    await until(forgotten)


def _with_statistics(templates: NDArray[np.float32], mean: float, deviation: float) -> list[pb.Entry]:
    entries = people(templates)
    for one in entries:
        one.references[0].statistics.mean, one.references[0].statistics.deviation = mean, deviation
    return entries


async def test_what_is_refused_and_how_large_it_may_be(site: Site) -> None:
    replica = await site.start()
    assert await refused(replica.rpc.Forecast(pb.ForecastRequest(deployment=DEPLOYMENT, footfall=9))) is (
        Reason.UNCALIBRATED
    )
    assert await refused(replica.rpc.Calibrate(calibrating(b"x" * 5000))) is Reason.BAD_COHORT
    # Larger than any picture may be; a few templates less and it would pass.
    large = cohort(200)
    many = -(-MAX_COHORT_BYTES // (4 * 128))
    too_many = Cohort(
        **{
            **{name: getattr(large, name) for name in Cohort.__slots__},
            "templates": np.resize(large.templates, (many, 128)),
            "members": np.arange(many),
        }
    ).to_bytes()
    wide, channel = site.client(str(replica.app._server._address), max_message_bytes=2 * MAX_COHORT_BYTES)
    assert await refused(wide.Calibrate(calibrating(too_many))) is Reason.MESSAGE_TOO_LARGE
    fits = Cohort(
        **{
            **{name: getattr(large, name) for name in Cohort.__slots__},
            "templates": np.resize(large.templates, (20_000, 128)),
            "members": np.arange(20_000),
        }
    ).to_bytes()
    assert len(fits) > 9 << 20
    reply = await wide.Calibrate(calibrating(fits))
    await channel.close()
    assert reply.calibration.templates == 20_000
    reply = await replica.rpc.Calibrate(calibrating(cohort(model_digest="sha256:another").to_bytes()))
    request = pb.ImportRequest(deployment=DEPLOYMENT, model_digest=MODEL, entries=[entry(1, list(unit(1, 1)))])
    assert await refused(replica.rpc.Import(request)) is Reason.MODEL_MISMATCH
    await replica.rpc.Calibrate(calibrating(cohort().to_bytes()))
    await replica.rpc.Import(request)
    assert await refused(replica.rpc.Calibrate(calibrating(b""))) is Reason.LIST_NOT_EMPTY
