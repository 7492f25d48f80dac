"""Cameras that are pulled: a clip over HTTP on loopback, sent at its own pace, again and again.

Like a camera, and unlike a file, it waits for nobody: what a reader does not take in time is held back and counted.
Every connection begins at the clip's first key frame; camera n is n-th of a pass later from its second pass on, so
that the silences of several cameras do not fall together.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, pairwise

from overt_lab.bench.footage import Footage, Packet, Remuxer

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_REQUEST_S = 5.0
_MOST_UNSENT_S = 1.0
"""Of video that may wait in the server for a slow reader, on top of what the kernel holds."""
_REMEMBERED = 20_000
"""Pictures whose sending is remembered: more than ten minutes."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture that left: when (seconds since 1970), in which pass of its connection, and which of the clip's."""

    at: float
    round: int
    place: int


class Feed:
    """One camera. Counts go on over its connections."""

    def __init__(self, number: int, *, stagger_s: float) -> None:
        self.number = number
        self.stagger_s = stagger_s
        self.sent = 0
        self.held_back = 0
        self.connections = 0
        self.log: deque[Sent] = deque(maxlen=_REMEMBERED)
        self.ports: tuple[int, int] | None = None
        """The server's and the reader's, of the newest connection."""
        self.transport: asyncio.WriteTransport | None = None
        self.written: deque[tuple[int, float]] = deque(maxlen=1024)
        """(bytes so far, monotonic time) after each picture of the newest connection."""
        self.round = 0
        """The pass that is being sent, from 1, over all connections."""
        self._began = asyncio.Event()

    def unsent(self) -> int:
        """Bytes that wait in this process."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def begin_pass(self) -> None:
        self.round += 1
        self._began.set()
        self._began = asyncio.Event()

    async def next_pass(self) -> None:
        """Returns when the next pass begins."""
        await self._began.wait()


class Source:
    """All cameras of a bench. `start` and `close` belong to one event loop; `close` is idempotent."""

    def __init__(self, footage: Footage, cameras: int) -> None:
        self._footage = footage
        self.feeds = [Feed(n, stagger_s=footage.pass_s * n / cameras) for n in range(cameras)]
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._most_unsent = int(_MOST_UNSENT_S / footage.clip_s * sum(len(p.data) for p in footage.packets)) + 65536

    async def start(self) -> None:
        """On a free port of loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def url(self, camera: int) -> str:
        assert self._server is not None, "start() first"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{camera}.ts"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def pass_s(self) -> float:
        return self._footage.pass_s

    @property
    def sent(self) -> int:
        """Pictures, of all cameras."""
        return sum(feed.sent for feed in self.feeds)

    @property
    def offered(self) -> int:
        """Pictures that were due."""
        return self.sent + self.held_back

    @property
    def held_back(self) -> int:
        """Pictures that a reader was too slow for."""
        return sum(feed.held_back for feed in self.feeds)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # `close` waits for us, and nobody else asks
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_REQUEST_S):
            request = await reader.readuntil(b"\r\n\r\n")
        feed = self._asked_for(request)
        if feed is None:
            writer.write(_NOT_FOUND)
            await writer.drain()
            return
        writer.write(_HEAD)
        feed.connections += 1
        feed.ports = (writer.get_extra_info("sockname")[1], writer.get_extra_info("peername")[1])
        feed.transport = writer.transport
        feed.written.clear()
        remuxer = Remuxer(self._footage)
        try:
            await self._play(feed, remuxer, reader, writer)
        finally:
            feed.ports = feed.transport = None
            remuxer.close()

    def _asked_for(self, request: bytes) -> Feed | None:
        words = request.split(b" ", 2)
        if len(words) == 3 and words[0] == b"GET":
            return next((feed for feed in self.feeds if words[1] == b"/%d.ts" % feed.number), None)
        return None

    async def _play(
        self, feed: Feed, remuxer: Remuxer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until the reader is gone."""
        loop = asyncio.get_running_loop()
        started, written, flowing = loop.time(), len(_HEAD), True
        for turn, packet, later_s, following, following_later_s in self._programme(feed):
            await asyncio.sleep(max(0.0, started + later_s + packet.due_s - loop.time()))
            if reader.at_eof() or writer.transport.is_closing():
                return
            if packet is self._footage.packets[0]:
                feed.begin_pass()
            flowing = self._may_send(writer, packet, flowing)
            if not flowing:
                feed.held_back += 1
                continue
            data = remuxer.muxed(packet, later_s=later_s) + remuxer.announced(
                following, later_s=following_later_s, after=packet
            )
            feed.log.append(Sent(time.time(), turn, packet.place))
            writer.write(data)
            written += len(data)
            feed.written.append((written, loop.time()))
            feed.sent += 1

    def _programme(self, feed: Feed) -> Iterator[tuple[int, Packet, float, Packet, float]]:
        """(pass, packet, how much later it is than in the clip, the next packet, how much later that is), endlessly."""
        packets = (*self._footage.packets, *self._footage.cap)
        for turn in count():
            now, then = (t * self._footage.pass_s + (feed.stagger_s if t else 0.0) for t in (turn, turn + 1))
            for packet, following in pairwise(packets):
                yield turn, packet, now, following, now
            yield turn, packets[-1], now, packets[0], then

    def _may_send(self, writer: asyncio.StreamWriter, packet: Packet, flowing: bool) -> bool:
        """Once something was held back, nothing can be decoded before the next key frame."""
        if not flowing and not packet.is_key:
            return False
        return writer.transport.get_write_buffer_size() < self._most_unsent
