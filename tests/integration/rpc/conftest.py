"""One method of any kind, with any handler, on a real server; and the real multi-callable to call it with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from overt.permissions import RPCS, Role
from overt.testing.rpc import Served, serving

METHOD = "/overt.test.v1.Test/Call"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


@dataclass
class OneMethod:
    """`call(request or iterator of requests)` in a role; `raw` sends bytes as they are."""

    kind: str
    served: Served

    def call(self, role: Role | None = Role.SERVICE_INGEST, channel: grpc.aio.Channel | None = None) -> Any:
        return getattr(channel or self.served.channel(role), self.kind)(
            METHOD, StringValue.SerializeToString, StringValue.FromString
        )

    def raw(self, role: Role | None = Role.SERVICE_INGEST) -> Any:
        return getattr(self.served.channel(role), self.kind)(METHOD, None, None)

    async def ask(self, *texts: str, role: Role | None = Role.SERVICE_INGEST, **more: Any) -> list[str]:
        """The replies to one call. Raises AioRpcError."""
        multi = self.call(role)
        requests = [StringValue(value=text) for text in texts]
        call = multi(requests[0] if self.kind.startswith("unary") else iter(requests), **more)
        if self.kind.endswith("unary"):
            return [(await call).value]
        return [reply.value async for reply in call]


Serve = Callable[..., contextlib.AbstractAsyncContextManager[OneMethod]]


@pytest.fixture
def serve_one(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """`async with serve_one(kind, handler) as method`. `roles` None: the method is not in the table."""

    @contextlib.asynccontextmanager
    async def serve(
        kind: str, handler: Any, *, roles: frozenset[Role] | None = frozenset({Role.SERVICE_INGEST}), **more: Any
    ) -> AsyncIterator[OneMethod]:
        if roles is not None:
            monkeypatch.setitem(RPCS, METHOD, roles)

        def register(server: grpc.aio.Server) -> None:
            make = getattr(grpc, f"{kind}_rpc_method_handler")
            methods = {"Call": make(handler, StringValue.FromString, StringValue.SerializeToString)}
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("overt.test.v1.Test", methods)])

        async with serving(register, **more) as served:
            yield OneMethod(kind, served)

    return serve
