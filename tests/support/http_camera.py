"""A camera that speaks HTTP: Motion JPEG, as many send it, from the test's own event loop."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def http_camera(
    picture: Callable[[int], bytes], *, every: float = 0.04, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Its URL. `picture(n)` is the n-th JPEG, from 1, for everybody who connects. With `tls` it is https."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=part\r\n\r\n")
            for number in itertools.count(1):
                jpeg = picture(number)
                head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                writer.write(head.encode() + jpeg + b"\r\n")
                await writer.drain()
                await asyncio.sleep(every)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/video"
    finally:
        server.close()
