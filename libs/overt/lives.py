"""Which lives of services ended without a word, told through the bucket `lives`.

A service signs in when it begins and out when it ends. Whoever signs in where another life still stands tells that
this one was lost; ingest writes it into the ledger. A host's name is part of the key, so replicas do not take one
another for dead. A replica whose host is gone for good, and whose successor has another name, is not noticed.

detect is not on the bus: on the stream itself ingest hears its epoch, and that it is stopping.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from datetime import datetime

from google.protobuf.message import DecodeError

from overt.api.control.v1 import control_pb2 as pb
from overt.bus import Bus
from overt.errors import OvertError, Rejected, Retryable
from overt.ids import Epoch
from overt.ledger import DeclaredEpoch
from overt.runtime import Clock
from overt.subjects import LIVES, Service
from overt.telemetry import get_logger
from overt.wire import from_timestamp, to_timestamp

MOST_LOSSES = 1000
"""So many are remembered; a service that crashes more often in one deployment tells so in other ways."""

_AGAIN_S = 1.0

log = get_logger(__name__)


class SignedLife:
    """The life of this process as others see it. `run` it as a root task; `sign_out` once, before the bus closes."""

    def __init__(self, bus: Bus, service: Service, *, host: str, epoch: Epoch, clock: Clock) -> None:
        self._bucket = bus.bucket(LIVES)
        self._key = f"{service.value}.{re.sub('[^A-Za-z0-9-]', '-', host)}"
        self._epoch = epoch
        self._began_at = clock.now()
        self._revision: int | None = None
        self.signed_in = asyncio.Event()

    async def run(self) -> None:
        """Signs in, as often as it takes; then stays until cancelled."""
        while self._revision is None:
            try:
                self._revision = await self._sign_in()
            except Retryable as error:
                log.info("life_not_signed", error=error)
                await asyncio.sleep(_AGAIN_S)
        self.signed_in.set()
        await asyncio.Event().wait()

    async def sign_out(self) -> None:
        """Without the bus nothing is signed, and the next life declares this one lost: rather once too often."""
        if self._revision is None:
            return
        try:
            await self._bucket.delete(self._key, self._revision)
        except OvertError as error:
            log.warning("life_not_signed", error=error)

    async def _sign_in(self) -> int:
        life = pb.ServiceLife(epoch=self._epoch, began_at=to_timestamp(self._began_at))
        before = await self._bucket.get(self._key)
        try:
            if before is None:
                return await self._bucket.create(self._key, life)
            revision, value = before
            standing = _epoch_of(value)
            if standing == self._epoch:
                # An earlier attempt of our own whose answer was lost.
                return revision
            life.lost_epoch = standing
            return await self._bucket.update(self._key, life, revision)
        except Rejected as rejected:
            raise Retryable("somebody else signed under the same name meanwhile") from rejected


class Losses:
    """The lives of other services that ended without signing out, as far as this process has seen them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: deque[DeclaredEpoch] = deque(maxlen=MOST_LOSSES)

    def since(self, moment: datetime) -> list[DeclaredEpoch]:
        """Noticed at `moment` or after. Frames are not in those services' hands: none is unknown."""
        return [lost for lost in self._known if lost.lost_at >= moment]

    async def run(self) -> None:
        """Watches until cancelled."""
        async for change in self._bus.bucket(LIVES).watch():
            if change.is_marker or change.value is None:
                continue
            try:
                life = pb.ServiceLife.FromString(change.value)
                noticed_at = from_timestamp(life.began_at)
            except (DecodeError, Rejected):
                log.error("life_unreadable", key=change.key)
                continue
            if life.lost_epoch and all(lost.epoch != life.lost_epoch for lost in self._known):
                self._known.append(DeclaredEpoch(change.key.split(".", 1)[0], life.lost_epoch, noticed_at))


def _epoch_of(value: bytes) -> str:
    """Empty if nobody can read it: then whose life it was stays unknown."""
    try:
        return pb.ServiceLife.FromString(value).epoch
    except DecodeError:
        return ""
