"""The composition root: the one file that names what is behind the gateway's ports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from overt.auth import TokenIssuer, TokenVerifier
from overt.bus import NatsBus, Subscription
from overt.bus import connect as connect_bus
from overt.errors import Fatal, OvertError
from overt.rpc import MAX_MESSAGE_BYTES, MAX_WATCHLISTS_MESSAGE_BYTES, TlsFiles, connect, token_from_file
from overt.runtime import Clock, ServiceApp, SystemClock, retry
from overt.telemetry import get_logger

from overt_gateway.adapters.bus import BusDeployments, BusLedgers, listen_to_cameras
from overt_gateway.adapters.peers import GrpcAlerts, GrpcEnroller, GrpcKeys, GrpcWatchlists
from overt_gateway.auth import LoginCodes, Tokens
from overt_gateway.control import Control
from overt_gateway.routes.v1.alert_stream import AlertFeeds
from overt_gateway.server import HttpServer
from overt_gateway.settings import Settings
from overt_gateway.sights import Sights
from overt_gateway.web_app import Parts, build_web_app

log = get_logger(__name__)

WINDOW_CHECK_S = 1.0
"""How late the end of a window may be noticed here. Ingest and match look at the window themselves as well."""


def build(settings: Settings) -> ServiceApp:
    """Connects to nothing."""
    return GatewayApp(settings, clock=SystemClock())


@dataclass(frozen=True, slots=True)
class _Running:
    """What there is once it has started."""

    deployments: BusDeployments
    control: Control
    feeds: AlertFeeds
    server: HttpServer


class GatewayApp:
    """The gateway's process."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._verifier = TokenVerifier(_read("OVERT_ISSUER_PUBLIC_KEY_FILE", settings.issuer_public_key_file))
        self._tokens = _tokens(settings, clock)
        self._channels: list[grpc.aio.Channel] = []
        self._bus: NatsBus | None = None
        self._heard: Subscription | None = None
        self._running: _Running | None = None
        self._served = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        """Connects to the bus and puts everything together. Peers may still be away: calls to them say so."""
        settings = self._settings
        self._bus = bus = await retry("connect to the bus", lambda: connect_bus(settings, name="gateway"))
        sights = Sights(self._clock)
        deployments = BusDeployments(bus, sights)
        # The bucket is made by alerts, which may come up after us.
        await retry("read the deployments", deployments.probe)
        self._heard = await listen_to_cameras(bus, sights)
        to_alerts = self._connect(settings.alerts_address)
        alerts = GrpcAlerts(to_alerts)
        feeds = AlertFeeds(alerts=alerts, clock=self._clock)
        parts = Parts(
            deployments=deployments,
            keys=GrpcKeys(to_alerts),
            enroller=GrpcEnroller(self._connect(settings.detect_address)),
            watchlists=GrpcWatchlists(self._connect(settings.match_address, MAX_WATCHLISTS_MESSAGE_BYTES)),
            alerts=alerts,
            cameras=sights,
            ledgers=BusLedgers(bus),
            verifier=self._verifier,
            tokens=self._tokens,
            feeds=feeds,
            clock=self._clock,
        )
        certificate = settings.tls_certificate_file
        app, control = build_web_app(parts, waiting_for=self._waiting_for, encrypted=certificate is not None)
        server = HttpServer(
            app,
            settings.listen,
            certificate=certificate,
            key=settings.tls_key_file,
            drain_seconds=settings.drain_seconds,
        )
        self._running = _Running(deployments, control, feeds, server)

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        assert self._running is not None
        assert self._bus is not None
        return {
            "serve": self._serve,
            "follow deployments": self._running.deployments.follow,
            "close windows": self._close_windows,
            "bus": self._bus.until_lost,
        }

    async def open(self) -> str:
        assert self._running is not None
        await self._running.deployments.until_ready()
        return await self._running.server.open()

    async def refuse_new(self) -> None:
        self._stopping = True
        if self._running is not None:
            self._running.feeds.stop()
            self._running.server.refuse_new()

    async def finish(self) -> None:
        await self._served.wait()

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        if self._heard is not None:
            await self._heard.close()
        if self._bus is not None:
            await self._bus.drain()
            await self._bus.close()

    async def _serve(self) -> None:
        assert self._running is not None
        try:
            await self._running.server.run()
        finally:
            self._served.set()

    async def _close_windows(self) -> None:
        assert self._running is not None
        while True:
            await asyncio.sleep(WINDOW_CHECK_S)
            try:
                await self._running.control.close_windows()
            except OvertError as error:
                log.warning("windows_not_checked", error=error)

    def _connect(self, address: str, max_message_bytes: int = MAX_MESSAGE_BYTES) -> grpc.aio.Channel:
        settings = self._settings
        token = token_from_file(settings.service_token_file) if settings.service_token_file else None
        tls = TlsFiles.of(certificate=settings.tls_certificate_file, key=settings.tls_key_file, ca=settings.tls_ca_file)
        channel = connect(address, token=token, tls=tls, max_message_bytes=max_message_bytes)
        self._channels.append(channel)
        return channel

    def _waiting_for(self) -> list[str]:
        missing = ["stopping"] if self._stopping else []
        if self._bus is None or not self._bus.connected:
            missing.append("bus")
        if self._running is None or not self._running.deployments.ready:
            missing.append("deployments")
        return missing


def _tokens(settings: Settings, clock: Clock) -> Tokens:
    private = settings.issuer_private_key_file
    return Tokens(
        TokenIssuer(_read("OVERT_ISSUER_PRIVATE_KEY_FILE", private)) if private else None,
        LoginCodes(settings.login_code_file, clock) if settings.login_code_file else None,
        clock,
        login_lifetime=settings.login_lifetime,
    )


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Fatal(f"{setting}: {path} cannot be read: {error.strerror}") from None
