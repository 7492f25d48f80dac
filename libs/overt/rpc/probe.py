"""Asks the service in this container whether it serves: `python -m overt.rpc.probe [--alive]`.

For Kubernetes' exec probes, whose own gRPC probe cannot speak TLS. Takes the service's own settings: the port of
OVERT_LISTEN and the certificates. Exit 0 if it serves; with --alive, if it answers at all.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from overt.address import Address
from overt.rpc.client import connect
from overt.rpc.tls import TlsFiles

_SECONDS = 4.0


def _file(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


async def probe(*, alive: bool) -> str:
    """What is wrong, or nothing."""
    listen = Address.parse(os.environ.get("OVERT_LISTEN", ""))
    address = str(listen) if listen.path is not None else f"localhost:{listen.port}"
    tls = TlsFiles.of(
        certificate=_file("OVERT_TLS_CERTIFICATE_FILE"),
        key=_file("OVERT_TLS_KEY_FILE"),
        ca=_file("OVERT_TLS_CA_FILE"),
    )
    async with connect(address, tls=tls) as channel:
        try:
            # The stub package leaves the methods out.
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            reply = await check(health_pb2.HealthCheckRequest(), timeout=_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return f"no answer: {error.code().name}"
    serving = reply.status == health_pb2.HealthCheckResponse.SERVING
    return "" if serving or alive else "not serving"


if __name__ == "__main__":
    sys.exit(asyncio.run(probe(alive="--alive" in sys.argv[1:])))
