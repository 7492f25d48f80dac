"""Where a ring's descriptor is handed out: a Unix socket, for processes of this user that know the ring's id."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

from overt.errors import Fatal
from overt.ring.owner import Ring
from overt.ring.wire import ID_BYTES, NO, YES, peer_uid
from overt.rpc import sockets
from overt.telemetry import get_logger

PATIENCE_S = 1.0
"""For a whole request. A reader asks within a millisecond of connecting."""

MOST_CONNECTIONS = 64
"""At a time. A stream asks once, and again when its pictures change size; more are shown the door."""

_SETTING = "OVERT_RING_SOCKET"

log = get_logger(__name__)


class RingDoor:
    """Call everything in the event loop's thread. It hands out rings that were admitted and not yet withdrawn."""

    def __init__(self, *, is_ours: Callable[[int], bool] = lambda uid: uid == os.geteuid()) -> None:
        """`is_ours` says whether a process of that uid may have a ring."""
        self._is_ours = is_ours
        self._rings: dict[str, Ring] = {}
        self._path: Path | None = None
        self._server: asyncio.Server | None = None
        self._visitors: set[_Visitor] = set()

    async def start(self, path: Path) -> None:
        """Listens on a socket of mode 0600; one that a dead process left there is replaced. Fatal, with what to do,
        if `path` cannot be had."""
        sockets.claim(path, setting=_SETTING)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with sockets.private_files():
                listener.bind(os.fspath(path))
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Visitor(self), sock=listener)
        except OSError as error:
            listener.close()
            raise Fatal(f"{_SETTING}: cannot listen on {path}: {error.strerror}") from None
        self._path = path

    async def close(self) -> None:
        """Takes the socket away and ends what is being said on it. Rings stay as they are. Idempotent."""
        server, self._server = self._server, None
        if server is None or self._path is None:
            return
        server.close()
        self._path.unlink(missing_ok=True)
        for visitor in list(self._visitors):
            visitor.end()
        await server.wait_closed()

    def admit(self, ring: Ring) -> None:
        """From now on `ring` may be asked for."""
        self._rings[ring.id] = ring

    def withdraw(self, ring: Ring) -> None:
        """Who has mapped it keeps it; nobody gets it any more. Idempotent."""
        self._rings.pop(ring.id, None)

    def _enters(self, visitor: _Visitor, connection: socket.socket) -> bool:
        try:
            uid = peer_uid(connection)
        except OSError:
            return False
        if not self._is_ours(uid):
            log.warning("ring_refused", reason="not_allowed")
            return False
        if len(self._visitors) >= MOST_CONNECTIONS:
            return False
        self._visitors.add(visitor)
        return True

    def _leaves(self, visitor: _Visitor) -> None:
        self._visitors.discard(visitor)

    def _answer(self, request: bytes, connection: socket.socket) -> None:
        ring = self._rings.get(request.decode("ascii", "replace"))
        if ring is None or ring.descriptor < 0:
            connection.send(NO)
        else:
            socket.send_fds(connection, [YES], [ring.descriptor])


class _Visitor(asyncio.Protocol):
    """One connection: one request of ID_BYTES and a line feed, one answer, the end."""

    def __init__(self, door: RingDoor) -> None:
        self._door = door
        self._said = b""
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._door._enters(self, transport.get_extra_info("socket")):
            self._limit = asyncio.get_running_loop().call_later(PATIENCE_S, self.end)
        else:
            self.end()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._said += data[: ID_BYTES + 1 - len(self._said)]
        if len(self._said) <= ID_BYTES and b"\n" not in self._said:
            return
        if self._said.find(b"\n") == ID_BYTES:
            try:
                # asyncio's transports cannot send descriptors. A fresh connection has room for a byte: no waiting.
                with transport.get_extra_info("socket").dup() as connection:
                    self._door._answer(self._said[:ID_BYTES], connection)
            except OSError as error:
                log.warning("ring_not_handed_out", error=error)
        self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._door._leaves(self)

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()
