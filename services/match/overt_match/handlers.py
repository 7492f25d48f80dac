"""What arrives from outside, turned into calls of the use cases."""

from __future__ import annotations

import asyncio
from typing import Any

from overt.api.match.v1 import match_pb2 as pb
from overt.api.match.v1.match_pb2_grpc import WatchlistsServicer
from overt.crypto import sealing
from overt.errors import Rejected
from overt.reasons import Reason
from overt.scoring import VerdictKind
from overt.subjects import SEARCH, checked_id
from overt.telemetry import Metric, SpanName, count, get_logger, span

from overt_match import wire
from overt_match.calibrate_list import CalibrateList
from overt_match.destroy_list import DestroyList
from overt_match.domain import Head
from overt_match.forecast_list import ForecastList
from overt_match.import_entries import ImportEntries
from overt_match.in_force import ListsInForce
from overt_match.loading import LoadedList
from overt_match.ports import Snapshot
from overt_match.remove_entry import RemoveEntry
from overt_match.seal_list import SealList
from overt_match.search import Answer, Search, Shown
from overt_match.wire_calibration import calibration_to, forecast_to, threshold_to

log = get_logger(__name__)

_DECISIONS = {
    VerdictKind.NO_MATCH: pb.SearchReply.DECISION_NO_MATCH,
    VerdictKind.PENDING: pb.SearchReply.DECISION_PENDING,
    VerdictKind.AGREED: pb.SearchReply.DECISION_AGREED,
}


class Watchlists(WatchlistsServicer):
    """The gRPC service. Who may call is checked before it gets here (overt.permissions)."""

    def __init__(
        self,
        *,
        import_entries: ImportEntries,
        remove_entry: RemoveEntry,
        seal_list: SealList,
        destroy_list: DestroyList,
        calibrate_list: CalibrateList,
        forecast_list: ForecastList,
        snapshot: Snapshot,
        lists: ListsInForce,
    ) -> None:
        self._import = import_entries
        self._remove = remove_entry
        self._seal = seal_list
        self._destroy = destroy_list
        self._calibrate = calibrate_list
        self._forecast = forecast_list
        self._snapshot = snapshot
        self._lists = lists

    async def Import(self, request: pb.ImportRequest, context: Any) -> pb.ImportReply:  # noqa: N802
        deployment = checked_id(request.deployment)
        batch = await asyncio.to_thread(wire.imported, request.entries)
        imported = await self._import(deployment, request.model_digest, batch)
        return pb.ImportReply(
            revision=imported.head.revision,
            entry_ids=[e.entry_id for e in batch.entries],
            size=imported.head.size,
            near_duplicates=[pb.NearDuplicate(**alike._asdict()) for alike in imported.near_duplicates],
        )

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:  # noqa: N802
        deployment = checked_id(request.deployment)
        if not (await self._snapshot.deployment(deployment)).state.keeps_a_list:
            raise Rejected(Reason.WRONG_STATE, "the deployment has ended: its list is gone")
        found = await self._snapshot.head(deployment)
        head = found[1] if found else Head()
        if not head.revision or head.destroyed:
            return pb.ListReply(revision=head.revision)
        loaded = await self._lists.at(deployment, head.revision)
        return await asyncio.to_thread(_listing, loaded)

    async def Remove(self, request: pb.RemoveRequest, context: Any) -> pb.RemoveReply:  # noqa: N802
        revision = await self._remove(checked_id(request.deployment), request.entry_id)
        return pb.RemoveReply(revision=revision)

    async def Seal(self, request: pb.SealRequest, context: Any) -> pb.SealReply:  # noqa: N802
        head, threshold = await self._seal(checked_id(request.deployment), request.target_fpir)
        return pb.SealReply(
            revision=head.revision,
            digest=head.digest,
            size=head.size,
            threshold=threshold_to(threshold, head.calibration_digest) if threshold else None,
        )

    async def Destroy(self, request: pb.DestroyRequest, context: Any) -> pb.DestroyReply:  # noqa: N802
        await self._destroy(checked_id(request.deployment))
        return pb.DestroyReply()

    async def Calibrate(self, request: pb.CalibrateRequest, context: Any) -> pb.CalibrateReply:  # noqa: N802
        deployment = checked_id(request.deployment)
        revision, calibration = await self._calibrate(deployment, request.cohort, request.model_digest)
        return pb.CalibrateReply(revision=revision, calibration=calibration_to(calibration) if calibration else None)

    async def Forecast(self, request: pb.ForecastRequest, context: Any) -> pb.ForecastReply:  # noqa: N802
        told, calibration = await self._forecast(
            checked_id(request.deployment),
            footfall=request.footfall,
            list_size=request.list_size,
            target_fpir=request.target_fpir if request.HasField("target_fpir") else None,
            score=request.score if request.HasField("score") else None,
        )
        return forecast_to(told, calibration)


class SearchHandler:
    """The micro-service `search`. A refusal is an answer (`refused`), so that it reaches the ledger as a reason."""

    def __init__(self, search: Search) -> None:
        self._search = search

    async def __call__(self, subject: str, request: pb.SearchRequest) -> pb.SearchReply:
        deployment = subject.removeprefix(SEARCH.prefix + ".")
        with span(SpanName.MATCH_SEARCH, deployment=deployment, probes=len(request.probes)) as step:
            try:
                if request.deployment != deployment:
                    raise Rejected(Reason.BAD_MESSAGE, "the subject is another deployment's")
                answer = await self._search(wire.track(request))
                reply = _reply(answer)
                decision = answer.verdict.kind.value
            except Rejected as refusal:
                log.debug("search_refused", deployment=deployment, reason=refusal.reason)
                reply = pb.SearchReply(refused=refusal.reason)
                decision = refusal.reason.value
            step.set(decision=decision, revision=reply.list_revision)
        count(Metric.SEARCHES, deployment=deployment, decision=decision)
        return reply


def _listing(loaded: LoadedList) -> pb.ListReply:
    return pb.ListReply(
        revision=loaded.head.revision,
        sealed=loaded.head.sealed,
        model_digest=loaded.head.model_digest,
        calibration=calibration_to(loaded.head.calibration) if loaded.head.calibration else None,
        entries=[wire.summary(e) for e in loaded.entries.values()],
    )


def _reply(answer: Answer) -> pb.SearchReply:
    """Who a track may turn out to be is told only once it is agreed, and then sealed."""
    verdict = answer.verdict
    reply = pb.SearchReply(
        decision=_DECISIONS[verdict.kind],
        list_revision=answer.revision,
        threshold=answer.threshold,
        uncalibrated=verdict.uncalibrated,
        agreeing=verdict.agreeing,
    )
    if answer.agreed is not None:
        reply.entry_id = answer.agreed.entry.entry_id
        reply.score = verdict.score or 0.0
        reply.sealed_entry_card = _card(answer.agreed, answer.sealing_public_key)
    if answer.rival is not None:
        reply.ambiguous = True
        reply.sealed_rival_card = _card(answer.rival, answer.sealing_public_key)
    return reply


def _card(shown: Shown, sealing_public_key: bytes) -> bytes:
    return sealing.seal(sealing_public_key, wire.card(shown.entry, shown.reference_jpeg).SerializeToString())
