"""Puts ingest together: the one file that names concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import grpc.aio
from overt.api.ingest.v1 import ingest_pb2_grpc
from overt.auth import TokenVerifier
from overt.bus import Bus, NatsBus, connect
from overt.ids import new_epoch
from overt.lives import Losses
from overt.ring import RingDoor
from overt.rpc import RpcServer, TlsFiles, token_from_file
from overt.rpc import connect as connect_rpc
from overt.runtime import Clock, ServiceApp, SystemClock, retry

from overt_ingest.adapters.detect import DetectClient
from overt_ingest.adapters.finder import DetectFinder
from overt_ingest.adapters.match import BusSearcher
from overt_ingest.adapters.outbox import BusOutbox
from overt_ingest.adapters.pull import PulledSource, authorities
from overt_ingest.adapters.record import BusReceipts, publish_status, watch_deployments
from overt_ingest.adapters.studio import SealingStudio
from overt_ingest.camera import Visit
from overt_ingest.cameras import Cameras
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.handlers import Handlers
from overt_ingest.opening import Opening
from overt_ingest.settings import Settings
from overt_ingest.status import StatusBoard
from overt_ingest.turns import Turns

_STATUS_EVERY_S = 1.0
_DEPLOYMENTS_PATIENCE_S = 5.0

_LAST_RECEIPTS_S = 0.5
"""What the last receipts of closed cameras need to leave the process."""


def build(settings: Settings) -> ServiceApp:
    return IngestApp(settings)


class RealParts:
    """The parts of every camera of this process."""

    def __init__(
        self,
        bus: Bus,
        detect: grpc.aio.Channel,
        *,
        clock: Clock,
        door: RingDoor | None = None,
        authorities: Path | None = None,
    ) -> None:
        """`door`: where detect fetches the rings of cameras; None: frames travel inside messages. `authorities`: see
        PulledSource."""
        self._authorities = authorities
        self._bus = bus
        self._door = door
        self._detect = detect
        self._clock = clock
        self.outbox = BusOutbox(bus, clock=clock)
        self.receipts = BusReceipts(bus)
        self.losses = Losses(bus)
        self.turns = Turns()

    def link(self, spec: CameraSpec) -> DetectClient:
        return DetectClient(self._detect, spec, self.turns, self._door)

    def searcher(self, spec: CameraSpec) -> BusSearcher:
        return BusSearcher(self._bus, spec)

    def studio(self, spec: CameraSpec) -> SealingStudio:
        return SealingStudio(spec, DetectFinder(self._detect, spec))

    def source(self, spec: CameraSpec) -> Callable[[Visit], Awaitable[None]]:
        return PulledSource(spec, clock=self._clock, authorities=self._authorities).feed


class IngestApp:
    """Its life is overt.runtime.ServiceApp's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._tls = TlsFiles.of(
            certificate=settings.tls_certificate_file, key=settings.tls_key_file, ca=settings.tls_ca_file
        )
        self._server = RpcServer(
            settings.listen,
            verifier=TokenVerifier(settings.issuer_public_key_file.read_bytes()),
            # Cameras have tokens and no certificates of ours: without the CA the server does not ask for one.
            tls=TlsFiles.of(certificate=settings.tls_certificate_file, key=settings.tls_key_file, ca=None),
        )
        self._bus: NatsBus | None = None
        self._channel: grpc.aio.Channel | None = None
        self._door: RingDoor | None = None
        self._parts: RealParts | None = None
        self._cameras: Cameras | None = None
        self._board: StatusBoard | None = None

    async def start(self) -> None:
        settings = self._settings
        token = token_from_file(settings.service_token_file) if settings.service_token_file else None
        self._bus = bus = await retry("connect to the bus", lambda: connect(settings, name="ingest"))
        self._channel = connect_rpc(settings.detect_address, token=token, tls=self._tls)
        if settings.ring_socket is not None:
            self._door = RingDoor()
            await self._door.start(settings.ring_socket)
        self._parts = parts = RealParts(
            bus,
            self._channel,
            clock=self._clock,
            door=self._door,
            authorities=authorities(settings.camera_ca_file, settings.tls_ca_file),
        )

        def open_camera(spec: CameraSpec) -> Opening:
            return Opening(spec, epoch=new_epoch(), parts=parts, clock=self._clock)

        self._cameras = Cameras(open_camera=open_camera, clock=self._clock)
        self._board = StatusBoard(clock=self._clock, cameras=self._cameras.alive)
        handlers = Handlers(visit=self._cameras.visit, clock=self._clock)
        ingest_pb2_grpc.add_CameraIngestServicer_to_server(handlers, self._server.grpc)

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        assert self._cameras is not None
        assert self._parts is not None
        assert self._bus is not None
        return {
            "bus": self._bus.until_lost,
            "cameras": self._cameras.run,
            "deployments": self._watch,
            "losses": self._parts.losses.run,
            "outbox": self._parts.outbox.run,
            "status": self._tell_status,
        }

    async def open(self) -> str:
        assert self._cameras is not None
        with suppress(TimeoutError):
            # Without the bus the door opens all the same, and says "not yet".
            async with asyncio.timeout(_DEPLOYMENTS_PATIENCE_S):
                await self._cameras.heard.wait()
        address = await self._server.start()
        self._server.set_serving(True)
        return address

    async def refuse_new(self) -> None:
        self._server.set_serving(False)

    async def finish(self) -> None:
        """Closes every camera: what was accepted ends, evidence is delivered, final receipts are written."""
        assert self._cameras is not None
        await self._cameras.close_all()
        await self._tell_status_once()

    async def close(self) -> None:
        await self._server.stop(grace=_LAST_RECEIPTS_S)
        if self._channel is not None:
            await self._channel.close()
        if self._door is not None:
            await self._door.close()
        if self._bus is not None:
            await self._bus.drain()
            await self._bus.close()

    async def _watch(self) -> None:
        assert self._bus is not None
        assert self._cameras is not None
        cameras = self._cameras
        await watch_deployments(self._bus, put=cameras.put, remove=cameras.remove, all_put=cameras.heard.set)

    async def _tell_status(self) -> None:
        while True:
            await self._tell_status_once()
            await asyncio.sleep(_STATUS_EVERY_S)

    async def _tell_status_once(self) -> None:
        assert self._bus is not None
        assert self._board is not None
        for status in self._board.read():
            await publish_status(self._bus, status)
