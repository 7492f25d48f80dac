"""match over the bus: a request, an answer within a second, nothing stored anywhere between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from overt.api.match.v1 import match_pb2 as pb
from overt.bus import Bus
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import SEARCH
from overt.wire import to_timestamp

from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Away, Decision, Probe, Verdict, known_reason

SEARCH_DEADLINE = timedelta(seconds=1)
"""A search takes a millisecond or two. A sighting lasts a second: an answer after that helps nobody."""

_DECISIONS = {
    pb.SearchReply.DECISION_NO_MATCH: Decision.NO_MATCH,
    pb.SearchReply.DECISION_PENDING: Decision.PENDING,
    pb.SearchReply.DECISION_AGREED: Decision.AGREED,
}


class BusSearcher:
    """For one camera."""

    def __init__(self, bus: Bus, spec: CameraSpec) -> None:
        self._bus = bus
        self._spec = spec
        self._subject = SEARCH.of(spec.deployment)

    async def search(self, model_digest: str, probes: Sequence[Probe]) -> Verdict:
        request = pb.SearchRequest(
            deployment=self._spec.deployment,
            camera=self._spec.camera,
            model_digest=model_digest,
            probes=[pb.Probe(template=p.template, captured_at=to_timestamp(p.captured_at)) for p in probes],
        )
        try:
            reply = await self._bus.request(self._subject, request, pb.SearchReply, timeout=SEARCH_DEADLINE)
        except Retryable:
            raise Away(Reason.MATCH_AWAY) from None
        except Rejected as rejected:
            raise Away(rejected.reason) from None
        if reply.refused:
            raise Away(known_reason(reply.refused))
        decision = _DECISIONS.get(reply.decision)
        if decision is None or (decision is Decision.AGREED and not reply.entry_id):
            raise Away(Reason.BAD_MESSAGE)
        return Verdict(
            decision=decision,
            list_revision=reply.list_revision,
            entry_id=reply.entry_id,
            score=reply.score,
            threshold=reply.threshold,
            uncalibrated=reply.uncalibrated,
            agreeing=list(reply.agreeing),
            sealed_entry_card=reply.sealed_entry_card,
            ambiguous=reply.ambiguous,
            sealed_rival_card=reply.sealed_rival_card,
        )
