"""Making a connection: where the server is, who we are there, and what to say when it does not work."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nats.aio.client import Client, Server

from overt.bus.connection import FLUSH_SECONDS, GONE, Connection, inbox_of
from overt.errors import Fatal, Retryable

LONGEST_WAIT = 30.0
_FIRST_WAIT = 0.1
_CONNECT_SECONDS = 2
# A server that hangs (rather than goes) is noticed after two unanswered pings.
_PING_SECONDS = 2
_PENDING_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BusAddress:
    """Where the server is and who we are there. The user is a Service's value; it gives the inbox its name.

    A `tls://` URL is verified against `tls_ca_file` (None: the system's authorities); certificate and key are
    shown to a server that asks for them."""

    url: str
    user: str
    password: str = field(repr=False)
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None


def _next_server(servers: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """The server that failed least; the first attempt is nearly at once, then 1 to 30 s, a third of it by lot so
    that the services do not all come back together."""
    server = min(servers, key=lambda s: s.reconnects)
    wait = min(2.0 ** (server.reconnects - 1), LONGEST_WAIT) if server.reconnects else _FIRST_WAIT
    return server, wait * random.uniform(2 / 3, 1)


def _no_connection(connection: Connection) -> Fatal | Retryable:
    if connection.user_refused:
        return Fatal(
            f"nats-server refuses the user {connection.user!r}: check OVERT_NATS_USER and OVERT_NATS_PASSWORD_FILE"
        )
    if connection.tls_error is not None:
        return Retryable(f"TLS with nats-server fails: check OVERT_TLS_CA_FILE ({connection.tls_error.reason})")
    return Retryable("no nats-server answers at OVERT_NATS_URL")


def _abandon(client: Client) -> None:
    """Leaves no socket behind; nats-py may have left one half open."""
    writer = getattr(client._transport, "_bare_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def _tls(address: BusAddress) -> ssl.SSLContext | None:
    if not address.url.startswith("tls://"):
        return None
    try:
        context = ssl.create_default_context(cafile=address.tls_ca_file)
        if address.tls_certificate_file is not None:
            context.load_cert_chain(address.tls_certificate_file, address.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise Fatal(
            f"OVERT_TLS_CA_FILE, OVERT_TLS_CERTIFICATE_FILE or OVERT_TLS_KEY_FILE cannot be used: {error.strerror}"
        ) from None
    return context


async def open_connection(
    address: BusAddress,
    *,
    name: str,
    on_loss: Callable[[], None] | None = None,
    on_return: Callable[[], None] | None = None,
) -> Connection:
    """Retryable if no server answers, Fatal if it refuses the user."""
    client = Client()
    connection = Connection(client, address.user, on_loss, on_return)
    try:
        # Bounded here as well: after a failed TLS handshake nats-py waits for a socket that nobody closes.
        async with asyncio.timeout(2 * _CONNECT_SECONDS):
            await client.connect(
                address.url,
                name=name,
                user=address.user,
                password=address.password,
                tls=_tls(address),
                inbox_prefix=inbox_of(address.user),
                error_cb=connection.failed,
                disconnected_cb=connection.disconnected,
                reconnected_cb=connection.returned,
                closed_cb=connection.closed,
                reconnect_to_server_handler=_next_server,
                # For the first connection only: a negative number would try for ever without telling anybody.
                max_reconnect_attempts=1,
                reconnect_time_wait=_FIRST_WAIT,  # type: ignore[arg-type]  # annotated int, used as seconds to sleep
                connect_timeout=_CONNECT_SECONDS,
                ping_interval=_PING_SECONDS,
                pending_size=_PENDING_BYTES,
                flush_timeout=FLUSH_SECONDS,
            )
    except GONE:
        _abandon(client)
        raise _no_connection(connection) from None
    client.options["max_reconnect_attempts"] = -1
    try:
        await connection.start()
    except BaseException:
        await connection.close()
        raise
    return connection
