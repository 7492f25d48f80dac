"""Where sealed evidence waits for the bus: at most 60 s and 64 MB, in memory, then it is lost, loudly."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.bus import Bus
from overt.errors import Rejected, Retryable
from overt.ledger import FrameClass, TrackClass
from overt.reasons import Reason
from overt.retention import EVIDENCE_CAP
from overt.runtime import Clock
from overt.subjects import EVIDENCE
from overt.telemetry import Metric, SpanName, count, get_logger, observe, span

from overt_ingest.domain.books import RETAINED, Fate
from overt_ingest.domain.sighting import Exhibit
from overt_ingest.ports import SealedEvidence

log = get_logger(__name__)

LONGEST_WAIT_S = EVIDENCE_CAP.total_seconds()
MOST_WAITING_BYTES = 64 * 1024 * 1024

_AGAIN_FIRST_S = 0.1
_AGAIN_MOST_S = 2.0

_LOST_FRAME = Fate(FrameClass.EXPIRED, Reason.EVIDENCE_LOST)
_LOST_TRACK = Fate(TrackClass.EXPIRED, Reason.EVIDENCE_LOST)


@dataclass(frozen=True, slots=True)
class _Parcel:
    evidence: SealedEvidence
    exhibit: Exhibit
    posted_at: float

    @property
    def size(self) -> int:
        return len(self.evidence.sealed)


class BusOutbox:
    """One for all cameras. Delivers those of a deployment in order, one after the other; deployments do not wait for
    one another: the stream of one may be full or gone, and the others' are not. The bound is for all of them together.
    """

    def __init__(self, bus: Bus, *, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._waiting: deque[_Parcel] = deque()
        self._bytes = 0
        self._delivering: set[str] = set()
        self._posted = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def post(self, evidence: SealedEvidence, exhibit: Exhibit) -> None:
        """See the port. When there is no room, the oldest, which has waited in vain the longest, gives way."""
        parcel = _Parcel(evidence, exhibit, self._clock.monotonic())
        self._waiting.append(parcel)
        self._bytes += parcel.size
        observe(Metric.EVIDENCE_BYTES, parcel.size)
        while self._bytes > MOST_WAITING_BYTES:
            self._lose(self._waiting[0])
        self._posted.set()

    async def run(self) -> None:
        """Delivers until cancelled; then what still waits is lost."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._posted.wait()
                    self._posted.clear()
                    for deployment in {parcel.evidence.deployment for parcel in self._waiting} - self._delivering:
                        self._delivering.add(deployment)
                        group.create_task(self._deliver(deployment), name=f"{deployment} evidence")
        finally:
            while self._waiting:
                self._lose(self._waiting[0])

    async def _deliver(self, deployment: str) -> None:
        """Until nothing of it waits."""
        pause = _AGAIN_FIRST_S
        while parcel := next((p for p in self._waiting if p.evidence.deployment == deployment), None):
            if (left := self._left(parcel)) <= 0:
                self._lose(parcel)
                continue
            try:
                async with asyncio.timeout(left):
                    await self._send(parcel.evidence)
            except Rejected as rejected:
                log.error("evidence_refused", reason=rejected.reason, alert=parcel.evidence.alert_id)
                self._lose(parcel)
            except (Retryable, TimeoutError):
                await asyncio.sleep(min(pause, max(self._left(parcel), 0)))
                pause = min(_AGAIN_MOST_S, pause * 2)
            else:
                pause = _AGAIN_FIRST_S
                self._stored(parcel)
        self._delivering.discard(deployment)

    def _left(self, parcel: _Parcel) -> float:
        """Seconds until it has waited too long."""
        return parcel.posted_at + LONGEST_WAIT_S - self._clock.monotonic()

    async def _send(self, evidence: SealedEvidence) -> None:
        message = pb.SealedEvidence(
            alert_id=evidence.alert_id,
            deployment=evidence.deployment,
            camera=evidence.camera,
            sealed=evidence.sealed,
        )
        with span(SpanName.EVIDENCE_SEND, parent=evidence.traceparent, alert=evidence.alert_id):
            await self._bus.append(
                EVIDENCE.of(evidence.deployment, evidence.camera), message, message_id=evidence.message_id
            )

    def _stored(self, parcel: _Parcel) -> None:
        if self._take_out(parcel):
            evidence = parcel.evidence
            waited_ms = (self._clock.monotonic() - parcel.posted_at) * 1e3
            labels = {"deployment": evidence.deployment, "camera": evidence.camera}
            observe(Metric.SIGHTING_STEP, waited_ms, step="deliver", **labels)
            count(Metric.EVIDENCE_SENT, deployment=evidence.deployment, outcome="stored")
            log.info("evidence_sent", alert=evidence.alert_id, bytes=parcel.size)
            parcel.exhibit.close(RETAINED, RETAINED)

    def _lose(self, parcel: _Parcel) -> None:
        if self._take_out(parcel):
            evidence = parcel.evidence
            count(Metric.EVIDENCE_SENT, deployment=evidence.deployment, outcome="lost")
            log.error("evidence_lost", alert=evidence.alert_id, deployment=evidence.deployment, camera=evidence.camera)
            parcel.exhibit.close(_LOST_FRAME, _LOST_TRACK)

    def _take_out(self, parcel: _Parcel) -> bool:
        """False if it gave way while it was being delivered: then it has been booked as lost already."""
        try:
            self._waiting.remove(parcel)
        except ValueError:
            return False
        self._bytes -= parcel.size
        return True
