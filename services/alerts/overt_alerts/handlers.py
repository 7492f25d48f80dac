"""The gRPC services Alerts and Keys: thin, between messages and use cases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.alerts.v1 import alerts_pb2_grpc

from overt_alerts.adapters.wire import event_message, part_of, record_message, shown
from overt_alerts.keys import Keys, ListSecret
from overt_alerts.reading import Reading


class AlertsHandlers(alerts_pb2_grpc.AlertsServicer):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:  # noqa: N802
        return pb.ListReply(alerts=[shown(what) for what in await self._reading.all(request.deployment)])

    async def Get(self, request: pb.GetRequest, context: Any) -> pb.Alert:  # noqa: N802
        return record_message(await self._reading.one(request.deployment, request.alert_id))

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: Any) -> pb.GetEvidenceReply:  # noqa: N802
        part = part_of(request.part)
        return pb.GetEvidenceReply(jpeg=await self._reading.picture(request.deployment, request.alert_id, part))

    async def Watch(self, request: pb.WatchRequest, context: Any) -> AsyncIterator[pb.AlertEvent]:  # noqa: N802
        changes = self._reading.changes(request.deployment, only_new=request.only_new)
        async with contextlib.aclosing(changes):
            async for change in changes:
                yield event_message(change)


class KeysHandlers(alerts_pb2_grpc.KeysServicer):
    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def Prepare(self, request: pb.PrepareRequest, context: Any) -> pb.PrepareReply:  # noqa: N802
        return pb.PrepareReply(sealing_public_key=await self._keys.prepare(request.deployment))

    async def GetListSecret(self, request: pb.GetListSecretRequest, context: Any) -> pb.GetListSecretReply:  # noqa: N802
        return _reply(await self._keys.list_secret(request.deployment, request.generation))

    async def RotateListSecret(  # noqa: N802
        self, request: pb.RotateListSecretRequest, context: Any
    ) -> pb.GetListSecretReply:
        return _reply(await self._keys.rotate(request.deployment))

    async def ConfirmListSecret(  # noqa: N802
        self, request: pb.ConfirmListSecretRequest, context: Any
    ) -> pb.ConfirmListSecretReply:
        await self._keys.confirm(request.deployment, request.generation)
        return pb.ConfirmListSecretReply()


def _reply(secret: ListSecret) -> pb.GetListSecretReply:
    return pb.GetListSecretReply(secret=secret.secret, generation=secret.generation)
