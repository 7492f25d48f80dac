"""The other services over gRPC. Each class keeps one port; calls go out with the service's own token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import grpc.aio
from overt.api.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from overt.api.detect.v1 import detect_pb2, detect_pb2_grpc
from overt.api.match.v1 import match_pb2, match_pb2_grpc
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.rpc import CREDENTIALS_REFUSED, to_overt_error

from overt_gateway.adapters.wire import from_alert, from_event
from overt_gateway.adapters.wire_lists import (
    from_added,
    from_calibration,
    from_forecast,
    from_list,
    from_sealed,
    to_entry,
)
from overt_gateway.ports import (
    Added,
    Alert,
    AlertEvent,
    Calibration,
    Forecast,
    ListView,
    NewEntry,
    Part,
    Reference,
    SealedList,
)

T = TypeVar("T")

IMPORT_DEADLINE = timedelta(seconds=60)
"""match seals and stores what it takes in before it answers."""

_PARTS = {
    Part.PROBE: alerts_pb2.GetEvidenceRequest.PART_PROBE,
    Part.REFERENCE: alerts_pb2.GetEvidenceRequest.PART_REFERENCE,
    Part.SCENE: alerts_pb2.GetEvidenceRequest.PART_SCENE,
    Part.RIVAL_REFERENCE: alerts_pb2.GetEvidenceRequest.PART_RIVAL_REFERENCE,
}


async def _answer(peer: str, call: Awaitable[T]) -> T:
    """The reply, or one of our errors. A peer's defect stays a defect: ours to answer for, not the caller's."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _translated(peer, error) from None


def _translated(peer: str, error: grpc.aio.AioRpcError) -> Exception:
    meant = to_overt_error(error)
    if isinstance(meant, Retryable):
        return Retryable(f"{peer} does not answer at the moment")
    if isinstance(meant, Rejected):
        if meant.reason in CREDENTIALS_REFUSED:
            return Retryable(f"{peer} does not take the gateway's own token at the moment")
        if meant.reason is Reason.INTERNAL:
            return RuntimeError(f"{peer} reports a defect")
    return meant


class GrpcKeys:
    """The port `Keys`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = alerts_pb2_grpc.KeysStub(channel)

    async def prepare(self, deployment: str) -> bytes:
        request = alerts_pb2.PrepareRequest(deployment=deployment)
        reply: alerts_pb2.PrepareReply = await _answer("alerts", self._stub.Prepare(request))
        return reply.sealing_public_key


class GrpcEnroller:
    """The port `Enroller`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = detect_pb2_grpc.DetectStub(channel)

    async def enrol(self, image: bytes) -> Reference:
        reply: detect_pb2.EnrolReply = await _answer("detect", self._stub.Enrol(detect_pb2.EnrolRequest(image=image)))
        if reply.reason:
            raise Rejected(_reason(reply.reason), "the picture cannot serve as a reference")
        return Reference(reply.template, reply.reference_jpeg)

    async def model_digest(self) -> str:
        reply: detect_pb2.DescribeReply = await _answer("detect", self._stub.Describe(detect_pb2.DescribeRequest()))
        return reply.model_digest


class GrpcWatchlists:
    """The port `Watchlists`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = match_pb2_grpc.WatchlistsStub(channel)

    async def add(self, deployment: str, model_digest: str, entries: Sequence[NewEntry]) -> Added:
        request = match_pb2.ImportRequest(
            deployment=deployment, model_digest=model_digest, entries=[to_entry(entry) for entry in entries]
        )
        return from_added(await _answer("match", self._stub.Import(request, timeout=IMPORT_DEADLINE.total_seconds())))

    async def read(self, deployment: str) -> ListView:
        request = match_pb2.ListRequest(deployment=deployment)
        return from_list(await _answer("match", self._stub.List(request)))

    async def remove(self, deployment: str, entry_id: str) -> int:
        request = match_pb2.RemoveRequest(deployment=deployment, entry_id=entry_id)
        reply: match_pb2.RemoveReply = await _answer("match", self._stub.Remove(request))
        return reply.revision

    async def seal(self, deployment: str, target_fpir: float) -> SealedList:
        request = match_pb2.SealRequest(deployment=deployment, target_fpir=target_fpir)
        return from_sealed(await _answer("match", self._stub.Seal(request, timeout=IMPORT_DEADLINE.total_seconds())))

    async def calibrate(self, deployment: str, cohort: bytes, model_digest: str) -> Calibration | None:
        request = match_pb2.CalibrateRequest(deployment=deployment, cohort=cohort, model_digest=model_digest)
        reply: match_pb2.CalibrateReply = await _answer(
            "match", self._stub.Calibrate(request, timeout=IMPORT_DEADLINE.total_seconds())
        )
        return from_calibration(reply.calibration) if reply.HasField("calibration") else None

    async def forecast(
        self, deployment: str, *, footfall: int, list_size: int, target_fpir: float | None, score: float | None
    ) -> Forecast:
        request = match_pb2.ForecastRequest(
            deployment=deployment, footfall=footfall, list_size=list_size, target_fpir=target_fpir, score=score
        )
        return from_forecast(await _answer("match", self._stub.Forecast(request)))


class GrpcAlerts:
    """The port `Alerts`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = alerts_pb2_grpc.AlertsStub(channel)

    async def all(self, deployment: str) -> Sequence[Alert]:
        request = alerts_pb2.ListRequest(deployment=deployment)
        reply: alerts_pb2.ListReply = await _answer("alerts", self._stub.List(request))
        return [from_alert(alert) for alert in reply.alerts]

    async def get(self, deployment: str, alert_id: str) -> Alert:
        request = alerts_pb2.GetRequest(deployment=deployment, alert_id=alert_id)
        return from_alert(await _answer("alerts", self._stub.Get(request)))

    async def evidence(self, deployment: str, alert_id: str, part: Part) -> bytes:
        request = alerts_pb2.GetEvidenceRequest(deployment=deployment, alert_id=alert_id, part=_PARTS[part])
        reply: alerts_pb2.GetEvidenceReply = await _answer("alerts", self._stub.GetEvidence(request))
        return reply.jpeg

    async def watch(self, deployment: str) -> AsyncIterator[AlertEvent]:
        call = self._stub.Watch(alerts_pb2.WatchRequest(deployment=deployment))
        try:
            async for message in call:
                event = from_event(message)
                if event is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise _translated("alerts", error) from None
        finally:
            call.cancel()
        raise Retryable("alerts ended the stream")


def _reason(code: str) -> Reason:
    """A newer detect may know reasons that we do not."""
    try:
        return Reason(code)
    except ValueError:
        return Reason.LOW_CONFIDENCE
