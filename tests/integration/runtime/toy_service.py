"""A service as small as can be, run as a real process by its tests: `python toy_service.py grpc|http|uvicorn`.

It takes a request ("seconds" as text), works that long, and answers. OVERT_TOY_FAULT makes it misbehave.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Literal

import grpc
import uvicorn
from fastapi import FastAPI
from overt.address import split_host_port
from overt.runtime import main
from overt.settings import ServiceSettings
from overt.telemetry import SpanName, get_logger, span
from pydantic import Field

log = get_logger(__name__)


class Settings(ServiceSettings):
    toy_fault: Literal["", "task ends", "task raises", "loop blocks", "close hangs"] = Field(
        default="", description="a fault"
    )
    toy_size: int = Field(default=1, description="a whole number")


class Toy:
    """What both have in common: the faults, and a word in the log for each step."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fault = asyncio.Event()

    async def start(self) -> None:
        log.info("toy", step="start")

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return {"watch": self._watch}

    async def _watch(self) -> None:
        await self._fault.wait()
        if self._settings.toy_fault == "task raises":
            raise ValueError("Ada Lovelace")
        if self._settings.toy_fault == "loop blocks":
            log.info("toy", step="blocked")
            time.sleep(60)  # noqa: ASYNC251
        if self._settings.toy_fault == "close hangs":
            await asyncio.Event().wait()

    def _opened(self) -> None:
        log.info("toy", step="open")
        if self._settings.toy_fault:
            self._fault.set()

    async def close(self) -> None:
        log.info("toy", step="close")
        if self._settings.toy_fault == "close hangs":
            # What no deadline of asyncio can end.
            time.sleep(60)  # noqa: ASYNC251


class GrpcToy(Toy):
    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(self._work)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("toy.Toy", {"Work": handler}),))
        self._closing: asyncio.Task[None] | None = None

    async def _work(self, request: bytes, context: object) -> bytes:
        log.info("toy", step="accepted")
        with span(SpanName.RPC_SERVE):
            await asyncio.sleep(float(request))
        log.info("toy", step="worked")
        return b"done"

    async def open(self) -> str:
        host, _ = split_host_port(self._settings.listen)
        port = self._server.add_insecure_port(self._settings.listen)
        await self._server.start()
        self._opened()
        return f"{host}:{port}"

    async def refuse_new(self) -> None:
        log.info("toy", step="refuse_new")
        self._closing = asyncio.create_task(self._server.stop(self._settings.drain_seconds), name="toy: grpc stop")
        await asyncio.sleep(0)

    async def finish(self) -> None:
        log.info("toy", step="finish")
        if self._closing is not None:
            await self._closing


class PlainServer(uvicorn.Server):
    """Leaves the signals to the runtime, so that the order of the stop is the runtime's alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpToy(Toy):
    """As the gateway does it: uvicorn is a root task, and `open` waits for it."""

    server: type[uvicorn.Server] = PlainServer

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        web = FastAPI()
        web.add_api_route("/work", self._work)
        host, port = split_host_port(settings.listen)
        # With uvicorn's own log set-up on purpose: the runtime has to cope with it.
        self._server = self.server(uvicorn.Config(web, host=host, port=port, lifespan="off"))

    async def _work(self, seconds: float) -> str:
        log.info("toy", step="accepted")
        await asyncio.sleep(seconds)
        log.info("toy", step="worked")
        return "done"

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return {**super().tasks(), "http": self._server.serve}

    async def open(self) -> str:
        while not self._server.started:  # noqa: ASYNC110 - uvicorn sets no event
            await asyncio.sleep(0.01)
        host, port = self._server.servers[0].sockets[0].getsockname()[:2]
        self._opened()
        return f"http://{host}:{port}"

    async def refuse_new(self) -> None:
        log.info("toy", step="refuse_new")
        # uvicorn looks at should_exit ten times a second, and accepts until then.
        for listening in self._server.servers:
            listening.close()
        self._server.should_exit = True

    async def finish(self) -> None:
        log.info("toy", step="finish")
        while self._server.server_state.tasks or self._server.server_state.connections:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


class UvicornToy(HttpToy):
    """With uvicorn's own signal handling, which the runtime has to cope with too."""

    server = uvicorn.Server


TOYS: dict[str, Callable[[Settings], Toy]] = {"grpc": GrpcToy, "http": HttpToy, "uvicorn": UvicornToy}

if __name__ == "__main__":
    main("toy", Settings, TOYS[sys.argv[1]])
