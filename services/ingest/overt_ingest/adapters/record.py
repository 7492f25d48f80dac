"""The deployments and the ledger as they lie on the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from google.protobuf.message import DecodeError
from overt.api.control.v1 import control_pb2 as control
from overt.api.ingest.v1 import ingest_pb2 as ingest
from overt.bus import Bus
from overt.errors import OvertError, Rejected, Retryable
from overt.ledger import CameraAccount
from overt.ledger.wire import from_receipt, to_receipt
from overt.reasons import Reason
from overt.subjects import DEPLOYMENTS, LEDGER, STATUS, checked_id
from overt.telemetry import get_logger
from overt.wire import from_timestamp, to_timestamp

from overt_ingest.domain.deployments import CameraSpec, Deployment, State
from overt_ingest.domain.sight import Sight
from overt_ingest.status import Status

log = get_logger(__name__)

_AGAIN_FIRST_S = 0.5
_AGAIN_MOST_S = 5.0

_KEY_BYTES = 32
_NEVER = datetime.fromtimestamp(0, UTC)
"""The window of a deployment that is not active: nobody asks for it."""

_SIGHTS = {
    Sight.WAITING: ingest.CameraStatus.SIGHT_WAITING,
    Sight.SEEING: ingest.CameraStatus.SIGHT_SEEING,
    Sight.BLIND: ingest.CameraStatus.SIGHT_BLIND,
    Sight.CLOSED: ingest.CameraStatus.SIGHT_CLOSED,
}


class BusReceipts:
    """The ledger stream of each deployment; every epoch of a camera has a subject of its own."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def append(self, account: CameraAccount) -> None:
        subject = LEDGER.of(account.deployment, account.camera, account.epoch)
        await self._bus.append(subject, to_receipt(account), message_id=f"{account.epoch}/{account.number}")

    async def last_of_every_epoch(self, deployment: str, camera: str) -> AsyncIterator[CameraAccount]:
        matching = LEDGER.of(deployment, camera, "*")
        async for stored in self._bus.latest(LEDGER, deployment, matching=matching):
            try:
                yield from_receipt(ingest.LedgerReceipt.FromString(stored.data))
            except (DecodeError, Rejected):
                log.error("receipt_unreadable", subject=stored.subject)


async def watch_deployments(
    bus: Bus,
    *,
    put: Callable[[Deployment], None],
    remove: Callable[[str], None],
    all_put: Callable[[], None],
) -> None:
    """Tells every change of every deployment until cancelled: first those there are, then `all_put`, then what
    changes. What does not parse is closed, not guessed at."""
    pause = _AGAIN_FIRST_S
    while True:
        try:
            watch = bus.bucket(DEPLOYMENTS).watch()
            async for change in watch:
                pause = _AGAIN_FIRST_S
                if change.is_marker:
                    all_put()
                    continue
                try:
                    deployment = None if change.value is None else deployment_from(change.key, change.value)
                except Rejected as rejected:
                    log.error("deployment_unreadable", key=change.key, reason=rejected.reason)
                    deployment = None
                if deployment is None:
                    remove(change.key)
                else:
                    put(deployment)
        except OvertError as error:
            log.warning("deployments_away", error=error)
        await asyncio.sleep(pause)
        pause = min(_AGAIN_MOST_S, pause * 2)


def deployment_from(key: str, value: bytes) -> Deployment:
    """Rejected if it is not one, or not the one of this key."""
    try:
        message = control.Deployment.FromString(value)
    except DecodeError:
        raise Rejected(Reason.BAD_MESSAGE, "not a deployment") from None
    if message.deployment_id != key:
        raise Rejected(Reason.BAD_MESSAGE, "a deployment under another's key")
    active = message.state == control.Deployment.STATE_ACTIVE
    if active and len(message.sealing_public_key) != _KEY_BYTES:
        raise Rejected(Reason.BAD_FIELD, "an active deployment without a sealing key: its evidence would be lost")
    return Deployment(
        deployment=checked_id(message.deployment_id),
        state=State.ACTIVE if active else State.CLOSED,
        starts_at=from_timestamp(message.starts_at) if active else _NEVER,
        ends_at=from_timestamp(message.ends_at) if active else _NEVER,
        cameras=tuple(
            CameraSpec(
                deployment=message.deployment_id,
                camera=checked_id(camera.camera_id),
                source_url=camera.source_url,
                smallest_face_px=camera.smallest_face_px,
                zone=tuple((point.x, point.y) for point in camera.zone),
                sealing_public_key=message.sealing_public_key,
            )
            for camera in message.cameras
        ),
    )


async def publish_status(bus: Bus, status: Status) -> None:
    """To whoever listens; nobody is waited for."""
    message = ingest.CameraStatus(
        deployment=status.deployment,
        camera=status.camera,
        sight=_SIGHTS[status.sight],
        reason=status.reason or "",
        frames_per_second=status.frames_per_second,
        analysed_per_second=status.analysed_per_second,
        faces_seen=status.faces_seen,
        frames_destroyed=status.frames_destroyed,
        at=to_timestamp(status.at),
    )
    try:
        await bus.publish(STATUS.of(status.deployment, status.camera), message)
    except Retryable:
        # The gateway shows a camera that nobody reports as blind by itself.
        log.debug("status_not_sent", deployment=status.deployment, camera=status.camera)
