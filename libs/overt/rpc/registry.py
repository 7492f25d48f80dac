"""Takes registrations of servicers before there is a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Never

import grpc
import grpc.aio


class Registry(grpc.aio.Server):
    """What generated `add_XServicer_to_server` functions are given.

    The real server is made when RpcServer starts: it is tied to the event loop that it is made in, and services
    are built before one runs.
    """

    def __init__(self) -> None:
        self.handlers: list[grpc.GenericRpcHandler] = []
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        for handler in generic_rpc_handlers:
            self.handlers.append(handler)
            if isinstance(handler, grpc.ServiceRpcHandler) and (name := handler.service_name()):
                self.names.append(name)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """The same handlers once more, keyed for a lookup in C. The generic ones will do."""

    def add_insecure_port(self, address: str) -> Never:
        raise _misused()

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> Never:
        raise _misused()

    async def start(self) -> Never:
        raise _misused()

    async def stop(self, grace: float | None) -> Never:
        raise _misused()

    async def wait_for_termination(self, timeout: float | None = None) -> Never:
        raise _misused()


def _misused() -> TypeError:
    return TypeError("this is for registering servicers; RpcServer listens, starts and stops")
