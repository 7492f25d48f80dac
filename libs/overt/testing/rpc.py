"""Tokens and RPC servers for tests: the real ones, with keys made on the spot."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import grpc.aio

from overt.auth import TokenIssuer, TokenVerifier, generate_issuer_key
from overt.permissions import Role
from overt.rpc import RpcServer, TlsFiles, connect


class Tokens:
    """An issuer, its verifier and its PEM files' contents."""

    def __init__(self) -> None:
        self.private_pem, self.public_pem = generate_issuer_key()
        self.issuer = TokenIssuer(self.private_pem)
        self.verifier = TokenVerifier(self.public_pem)

    def of(
        self,
        role: Role,
        *,
        subject: str = "test",
        deployment: str | None = None,
        camera: str | None = None,
        lifetime: timedelta = timedelta(minutes=5),
    ) -> str:
        return self.issuer.issue(role, subject=subject, lifetime=lifetime, deployment=deployment, camera=camera)


@dataclass
class Served:
    """A running server. Channels made here are closed with it."""

    address: str
    server: RpcServer
    tokens: Tokens
    tls: TlsFiles | None = None
    _channels: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(
        self, role: Role | None = None, *, deployment: str | None = None, camera: str | None = None
    ) -> grpc.aio.Channel:
        """A channel of a caller in `role`; without a token if None."""
        token = self.tokens.of(role, deployment=deployment, camera=camera) if role else None
        channel = connect(self.address, token=None if token is None else lambda: token, tls=self.tls)
        self._channels.append(channel)
        return channel


@contextlib.asynccontextmanager
async def serving(
    *register: Callable[[grpc.aio.Server], None],
    listen: str = "127.0.0.1:0",
    tokens: Tokens | None = None,
    tls: TlsFiles | None = None,
) -> AsyncIterator[Served]:
    """A started server that says SERVING, with what each of `register` adds to it:
    `serving(lambda server: add_DetectServicer_to_server(servicer, server))`."""
    tokens = tokens or Tokens()
    server = RpcServer(listen, verifier=tokens.verifier, tls=tls)
    for add in register:
        add(server.grpc)
    served = Served(await server.start(), server, tokens, tls)
    server.set_serving(True)
    try:
        yield served
    finally:
        for channel in served._channels:
            await channel.close()
        await server.stop(0)
