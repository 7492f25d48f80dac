"""Puts alerts together: the one file that names concrete classes."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from overt.api.alerts.v1 import alerts_pb2_grpc
from overt.auth import TokenVerifier
from overt.bus import NatsBus
from overt.bus import connect as connect_bus
from overt.crypto import FileKeyring, Keyring
from overt.ids import new_epoch
from overt.lives import SignedLife
from overt.rpc import RpcServer, TlsFiles
from overt.runtime import Clock, ServiceApp, SystemClock, retry
from overt.subjects import Service

from overt_alerts.adapters.vault import Vault
from overt_alerts.custody import Custody
from overt_alerts.deployments import Deployments
from overt_alerts.expiry import Expiry
from overt_alerts.handlers import AlertsHandlers, KeysHandlers
from overt_alerts.intake import Intake
from overt_alerts.keys import Keys
from overt_alerts.reading import Reading
from overt_alerts.reconcile import Reconciler
from overt_alerts.recovery import Recovery
from overt_alerts.settings import Settings
from overt_alerts.shelf import Board

_LAST_REPLIES_S = 0.5
"""What calls at work get to end in. Watches have been told to go by then."""


def build(settings: Settings) -> ServiceApp:
    return AlertsApp(
        settings,
        keyring=FileKeyring(settings.data_dir / "keyring"),
        connect=lambda: connect_bus(settings, name="alerts"),
        clock=SystemClock(),
    )


class AlertsApp:
    """Its life is overt.runtime.ServiceApp's. Owns the keyring it is given and the bus it connects."""

    def __init__(
        self, settings: Settings, *, keyring: Keyring, connect: Callable[[], Awaitable[NatsBus]], clock: Clock
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._connect = connect
        self._clock = clock
        self._server = RpcServer(
            settings.listen,
            verifier=TokenVerifier(settings.issuer_public_key_file.read_bytes()),
            tls=TlsFiles.of(
                certificate=settings.tls_certificate_file, key=settings.tls_key_file, ca=settings.tls_ca_file
            ),
        )
        self._board = Board()
        self._bus: NatsBus | None = None
        self._reconciler: Reconciler | None = None
        self._life: SignedLife | None = None
        self._tasks: dict[str, Callable[[], Awaitable[None]]] = {}

    async def start(self) -> None:
        self._bus = bus = await retry("connect to the bus", self._connect)
        await retry("make the operation's buckets", bus.steward.ensure_operation)
        clock, board = self._clock, self._board
        custody = Custody(self._keyring)
        vault = Vault(bus=bus, custody=custody)
        deployments = Deployments(bus)
        self._reconciler = reconciler = Reconciler(
            bus=bus,
            board=board,
            custody=custody,
            deployments=deployments,
            intake=Intake(
                custody=custody,
                vault=vault,
                clock=clock,
                cooldown=timedelta(seconds=self._settings.cooldown_seconds),
            ),
            recovery=Recovery(custody=custody, vault=vault),
            clock=clock,
            linger=timedelta(seconds=self._settings.linger_seconds),
        )
        reading = Reading(board=board, reconciler=reconciler, vault=vault, clock=clock)
        keys = Keys(custody=custody, deployments=deployments, steward=bus.steward)
        alerts_pb2_grpc.add_AlertsServicer_to_server(AlertsHandlers(reading), self._server.grpc)
        alerts_pb2_grpc.add_KeysServicer_to_server(KeysHandlers(keys), self._server.grpc)
        self._life = SignedLife(bus, Service.ALERTS, host=socket.gethostname(), epoch=new_epoch(), clock=clock)
        self._tasks = {
            "bus": bus.until_lost,
            "life": self._life.run,
            "reconcile": reconciler.run,
            "expiry": Expiry(board=board, custody=custody, vault=vault, clock=clock).run,
        }
        await reconciler.begin()

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return self._tasks

    async def open(self) -> str:
        address = await self._server.start()
        self._server.set_serving(True)
        return address

    async def refuse_new(self) -> None:
        self._server.set_serving(False)
        self._board.end_watchers()

    async def finish(self) -> None:
        """Until the evidence at work is an alert, or was given back."""
        if self._reconciler is not None:
            await self._reconciler.close()

    async def close(self) -> None:
        await self._server.stop(grace=_LAST_REPLIES_S)
        if self._life is not None:
            await self._life.sign_out()
        if self._bus is not None:
            await self._bus.drain()
            await self._bus.close()
        self._keyring.close()
