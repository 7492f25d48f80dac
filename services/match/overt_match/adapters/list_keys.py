"""The list secrets, from alerts over gRPC."""

from __future__ import annotations

import grpc.aio
from overt.api.alerts.v1 import alerts_pb2 as pb
from overt.api.alerts.v1.alerts_pb2_grpc import KeysStub
from overt.errors import Retryable
from overt.rpc import to_peer_error

from overt_match.ports import ListSecret


class GrpcListKeys:
    """See `ListKeys`. The channel is the caller's to close."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._keys = KeysStub(channel)

    async def secret(self, deployment: str, generation: int = 0) -> ListSecret:
        try:
            reply = await self._keys.GetListSecret(
                pb.GetListSecretRequest(deployment=deployment, generation=generation)
            )
        except grpc.aio.AioRpcError as error:
            raise to_peer_error(error, "alerts") from None
        if generation not in (0, reply.generation):
            raise Retryable("alerts answered with another generation of the list secret")
        return ListSecret(reply.secret, reply.generation)

    async def rotate(self, deployment: str) -> ListSecret:
        try:
            reply = await self._keys.RotateListSecret(pb.RotateListSecretRequest(deployment=deployment))
        except grpc.aio.AioRpcError as error:
            raise to_peer_error(error, "alerts") from None
        return ListSecret(reply.secret, reply.generation)

    async def confirm(self, deployment: str, generation: int) -> None:
        try:
            await self._keys.ConfirmListSecret(
                pb.ConfirmListSecretRequest(deployment=deployment, generation=generation)
            )
        except grpc.aio.AioRpcError as error:
            raise to_peer_error(error, "alerts") from None
