"""uvicorn as the runtime wants it: our socket, no signal handlers, no access log, an end that can be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import h11
import uvicorn
from overt.errors import Fatal
from overt.rpc import Address
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from overt_gateway.doorkeeping import MAX_HEADER_BYTES

MAX_CONNECTIONS = 512
KEEP_ALIVE_S = 15
HEAD_S = 10.0
"""For a request's head to arrive. uvicorn would wait for ever, and MAX_CONNECTIONS silent ones shut everybody out."""
_BACKLOG = 128


class _Impatient(H11Protocol):
    """Closes a connection on which no whole head arrives within `head_seconds` of its beginning: of the connection,
    or of the head itself on one that has carried a request before."""

    head_seconds = HEAD_S
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # narrowed there
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._patience is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    """Signals belong to the runtime; and it says when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves one ASGI application. `run` is a root task; `open` returns once it accepts."""

    def __init__(
        self,
        app: ASGIApp,
        listen: str,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        drain_seconds: float = 10,
    ) -> None:
        self._listen = listen
        self._encrypted = certificate is not None
        self._go = asyncio.Event()
        self._socket: socket.socket | None = None
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                http=_Impatient,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(drain_seconds),
                limit_concurrency=MAX_CONNECTIONS,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                backlog=_BACKLOG,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )

    async def run(self) -> None:
        """Waits for `open`, then serves until `refuse_new`, and until what was accepted is answered."""
        await self._go.wait()
        assert self._socket is not None
        await self._server.serve(sockets=[self._socket])

    async def open(self) -> str:
        """Binds and accepts: `http://127.0.0.1:PORT`. Fatal, with what to do, if the address cannot be had."""
        host, port = self._bind()
        self._go.set()
        await self._server.accepting.wait()
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._encrypted else 'http'}://{shown}:{port}"

    def refuse_new(self) -> None:
        """Accepts no more; idle connections are closed, requests under way go on."""
        self._server.should_exit = True

    def _bind(self) -> tuple[str, int]:
        address = _address(self._listen)
        if not address.is_loopback and not self._encrypted:
            raise Fatal(
                f"OVERT_LISTEN={self._listen} can be reached from other hosts, so it needs TLS: set "
                "OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE, or listen on 127.0.0.1"
            )
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            fresh = socket.socket(family, kind, protocol)
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            fresh.bind(where)
            fresh.listen(_BACKLOG)
        except OSError as error:
            why = "the port is taken" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            raise Fatal(
                f"cannot listen on {address} ({why}): stop what uses it, or set OVERT_LISTEN to another address; "
                "port 0 takes a free one"
            ) from None
        self._socket = fresh
        return address.host, int(fresh.getsockname()[1])


def _address(listen: str) -> Address:
    try:
        address = Address.parse(listen)
    except ValueError as error:
        raise Fatal(f"OVERT_LISTEN: {error}") from None
    if address.path is not None:
        raise Fatal("OVERT_LISTEN: the gateway speaks HTTP to browsers: give host:port")
    return address
