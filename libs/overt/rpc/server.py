"""The RPC server of a service: one listening address, health, reflection, and the guard around every handler."""

from __future__ import annotations

from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from overt.address import Address
from overt.auth import TokenVerifier
from overt.errors import Fatal
from overt.rpc import health, limits, sockets
from overt.rpc.guard import Guard
from overt.rpc.registry import Registry
from overt.rpc.tls import TlsFiles


class RpcServer:
    """Register servicers with `grpc`, then `start`, then `set_serving(True)`.

    The constructor raises Fatal for an address that does not parse, one that others can reach without TLS, and
    for unreadable TLS files; `start` raises Fatal for one that cannot be had. May be constructed outside of the
    event loop. On a Unix socket `tls` is not used: its file mode says who may connect. A token is checked when a
    call begins; a stream may outlive it.
    """

    def __init__(
        self,
        listen: str,
        *,
        verifier: TokenVerifier,
        tls: TlsFiles | None = None,
        max_message_bytes: int = limits.MAX_MESSAGE_BYTES,
    ) -> None:
        self._address = _parsed(listen)
        if not self._address.is_loopback and tls is None:
            raise Fatal(
                f"OVERT_LISTEN: {listen} can be reached from other hosts, so it needs TLS: give "
                "OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE (and OVERT_TLS_CA_FILE to ask clients for a "
                "certificate), or listen on a loopback address or a Unix socket"
            )
        self._credentials = tls.for_server() if tls and self._address.path is None else None
        self._max_message_bytes = max_message_bytes
        self._guard = Guard(verifier)
        self._health = health.Health()
        self._registry = Registry()
        self._server: aio.Server | None = None

    @property
    def grpc(self) -> aio.Server:
        """For `add_XServicer_to_server(servicer, server.grpc)`, before `start`; of no other use."""
        return self._registry

    async def start(self) -> str:
        """Accepts calls and returns the bound address, the port resolved. Health says NOT_SERVING."""
        names = list(self._registry.names)
        self._health.name(names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._registry)
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._registry)
        server = aio.server(handlers=self._registry.handlers, interceptors=(self._guard,), options=self._options())
        try:
            bound = self._bind(server)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        self._server, self._address = server, bound
        return str(bound)

    def set_serving(self, yes: bool) -> None:
        """What health answers from now on, for "" and for every service. In the event loop's thread."""
        self._health.set(yes)

    async def stop(self, grace: float) -> None:
        """Accepts no more calls, gives running ones `grace` seconds, then cancels them. Idempotent."""
        self._health.end()
        if self._server is not None:
            await self._server.stop(grace)  # removes the socket's file first
            self._server = None

    def _bind(self, server: aio.Server) -> Address:
        address = self._address
        if address.path is not None:
            sockets.claim(address.path)
        elif address.host == "localhost":
            # The name means two addresses, and gRPC is content with either: the other could be somebody else's.
            address = Address(host="127.0.0.1", port=address.port)
        try:
            with sockets.private_files():
                if self._credentials is None:
                    port = server.add_insecure_port(str(address))
                else:
                    port = server.add_secure_port(str(address), self._credentials)
        except RuntimeError:
            why = "" if address.path else f": {sockets.why_not(address)}"
            raise Fatal(
                f"OVERT_LISTEN: cannot listen on {address}{why}. Stop what uses it, or give another address "
                "(port 0 takes a free one)"
            ) from None
        return address if address.path is not None else address.with_port(port)

    def _options(self) -> list[tuple[str, int]]:
        return [
            # On by default, and then a second server on a taken port starts and gets half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._max_message_bytes),
            ("grpc.max_send_message_length", self._max_message_bytes),
            ("grpc.keepalive_time_ms", limits.milliseconds(limits.KEEPALIVE_EVERY)),
            ("grpc.keepalive_timeout_ms", limits.milliseconds(limits.KEEPALIVE_PATIENCE)),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", limits.milliseconds(limits.LEAST_PING_INTERVAL)),
        ]


def _parsed(listen: str) -> Address:
    try:
        return Address.parse(listen)
    except ValueError as error:
        raise Fatal(f"OVERT_LISTEN: {error}") from None
