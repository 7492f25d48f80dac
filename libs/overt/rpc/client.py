"""The client's side: a channel that sends the token and the trace with every call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from overt.address import Address
from overt.errors import Fatal, Retryable
from overt.rpc import limits
from overt.rpc.tls import TlsFiles
from overt.telemetry import current_traceparent

Token = Callable[[], str]


def token_from_file(path: Path) -> Token:
    """Reads the file anew for every call, so that a renewed token is used at once. Retryable while it is not
    there or empty."""

    def read() -> str:
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            token = ""
        if not token:
            raise Retryable(f"there is no token in {path} (OVERT_SERVICE_TOKEN_FILE)")
        return token

    return read


def connect(
    address: str,
    *,
    token: Token | None = None,
    tls: TlsFiles | None = None,
    max_message_bytes: int = limits.MAX_MESSAGE_BYTES,
    unary_deadline: timedelta = limits.UNARY_DEADLINE,
) -> grpc.aio.Channel:
    """A channel to `address`, for generated stubs; call it inside the event loop, close it when done.

    Connects when first used, and again by itself within 2 s of the peer's return; until then calls fail at once
    with UNAVAILABLE. Every call carries the token and the current traceparent; a unary one without a timeout
    gets `unary_deadline`. Failed calls raise AioRpcError: see `to_overt_error`. `token` may raise Retryable out
    of the call itself. Fatal for an address that does not parse, or that is not this host's and without TLS:
    the token would travel in the clear.
    """
    try:
        peer = Address.parse(address)
    except ValueError as error:
        raise Fatal(f"the address of a peer: {error}") from None
    if not peer.is_loopback and tls is None:
        raise Fatal(
            f"{address} is another host, so the call needs TLS: give OVERT_TLS_CA_FILE "
            "(and OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE where the peer asks for a certificate)"
        )
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", limits.milliseconds(limits.KEEPALIVE_EVERY)),
        ("grpc.keepalive_timeout_ms", limits.milliseconds(limits.KEEPALIVE_PATIENCE)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", limits.milliseconds(limits.LONGEST_RECONNECT_BACKOFF)),
        # Channels of one process would share a connection, and its backoff, otherwise.
        ("grpc.use_local_subchannel_pool", 1),
        # Peers are never behind a web proxy, whatever http_proxy says.
        ("grpc.enable_http_proxy", 0),
    ]
    if tls is None or peer.path is not None:
        channel = grpc.aio.insecure_channel(str(peer), options=options)
    else:
        channel = grpc.aio.secure_channel(str(peer), tls.for_client(), options=options)
    return _Channel(channel, token, unary_deadline)


class _Channel(grpc.aio.Channel):
    """Adds metadata where a call begins. Not client interceptors: those put a task and a queue between a
    stream's write and the wire."""

    def __init__(self, channel: grpc.aio.Channel, token: Token | None, unary_deadline: timedelta) -> None:
        self._channel = channel
        self._token = token
        self._unary_deadline = unary_deadline.total_seconds()

    # Generated stubs pass `_registered_method`, which the types do not know.
    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._calling(self._channel.unary_unary(*args, **kwargs), self._unary_deadline)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._calling(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._calling(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._calling(self._channel.stream_stream(*args, **kwargs))

    def _calling(self, call: Callable[..., Any], deadline: float | None = None) -> Callable[..., Any]:
        def start(*request: Any, timeout: float | None = None, metadata: Any = None, **more: Any) -> Any:
            return call(
                *request,
                timeout=deadline if timeout is None else timeout,
                metadata=self._with_ours(metadata),
                **more,
            )

        return start

    def _with_ours(self, metadata: Any) -> tuple[tuple[str, str | bytes], ...]:
        """What the caller gives goes first, and instead of ours where it has the same key."""
        given = tuple(metadata or ())
        keys = {key for key, _ in given}
        ours: list[tuple[str, str | bytes]] = []
        if self._token is not None and "authorization" not in keys:
            ours.append(("authorization", f"Bearer {self._token()}"))
        if "traceparent" not in keys and (traceparent := current_traceparent()):
            ours.append(("traceparent", traceparent))
        return (*given, *ours)

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self._channel.__aexit__(exc_type, exc_val, exc_tb)
