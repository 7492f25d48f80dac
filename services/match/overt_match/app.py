"""Puts match together: the one file that names concrete classes."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping

from overt.api.match.v1 import match_pb2 as pb
from overt.api.match.v1 import match_pb2_grpc
from overt.auth import TokenVerifier
from overt.bus import NatsBus, Subscription
from overt.bus import connect as connect_bus
from overt.ids import new_epoch
from overt.lives import SignedLife
from overt.rpc import MAX_WATCHLISTS_MESSAGE_BYTES, RpcServer, TlsFiles, token_from_file
from overt.rpc import connect as connect_rpc
from overt.runtime import Clock, ServiceApp, SystemClock, retry
from overt.subjects import DEPLOYMENTS, LISTS, SEARCH, Service
from overt.telemetry import get_logger

from overt_match.adapters.edge_index import EdgeIndexes
from overt_match.adapters.list_keys import GrpcListKeys
from overt_match.adapters.sealed_snapshot import SealedSnapshot
from overt_match.adapters.volume import DEFAULT_PLACE, IndexVolume
from overt_match.calibrate_list import CalibrateList
from overt_match.destroy_list import DestroyList
from overt_match.erasure import Erasure
from overt_match.forecast_list import ForecastList
from overt_match.handlers import SearchHandler, Watchlists
from overt_match.import_entries import ImportEntries
from overt_match.in_force import ListsInForce
from overt_match.loading import Loading
from overt_match.remove_entry import RemoveEntry
from overt_match.seal_list import SealList
from overt_match.search import Search
from overt_match.settings import Settings

CATCH_UP_SECONDS = 20.0
"""A replica joins the queue group when its lists are loaded, or after this long: then it refuses what it has not,
and goes on trying."""
_LAST_REPLIES_S = 0.5

log = get_logger(__name__)


def build(settings: Settings) -> ServiceApp:
    return MatchApp(settings, connect=lambda: connect_bus(settings, name="match"), clock=SystemClock())


class MatchApp:
    """Its life is overt.runtime.ServiceApp's. Owns the index volume and the bus it connects."""

    def __init__(self, settings: Settings, *, connect: Callable[[], Awaitable[NatsBus]], clock: Clock) -> None:
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._tls = TlsFiles.of(
            certificate=settings.tls_certificate_file, key=settings.tls_key_file, ca=settings.tls_ca_file
        )
        self._server = RpcServer(
            settings.listen,
            verifier=TokenVerifier(settings.issuer_public_key_file.read_bytes()),
            tls=self._tls,
            max_message_bytes=MAX_WATCHLISTS_MESSAGE_BYTES,
        )
        token = settings.service_token_file
        self._alerts = connect_rpc(
            settings.alerts_address, token=token_from_file(token) if token else None, tls=self._tls
        )
        self._volume = IndexVolume(settings.index_dir or DEFAULT_PLACE)
        self._bus: NatsBus | None = None
        self._lists: ListsInForce | None = None
        self._erasure: Erasure | None = None
        self._search: Search | None = None
        self._answering: Subscription | None = None
        self._life: SignedLife | None = None
        self._tasks: dict[str, Callable[[], Awaitable[None]]] = {}

    async def start(self) -> None:
        self._bus = bus = await retry("connect to the bus", self._connect)
        snapshot = SealedSnapshot(bus)
        keys = GrpcListKeys(self._alerts)
        self._erasure = erasure = Erasure(snapshot=snapshot, keys=keys)

        self._lists = lists = ListsInForce(
            deployments=lambda: bus.bucket(DEPLOYMENTS).watch(),
            lists=lambda: bus.bucket(LISTS).watch(),
            loading=Loading(snapshot=snapshot, keys=keys, indexes=EdgeIndexes(self._volume)),
            clock=self._clock,
            on_first_head=erasure.want,
        )
        self._search = Search(lists=lists, clock=self._clock)
        match_pb2_grpc.add_WatchlistsServicer_to_server(
            Watchlists(
                import_entries=ImportEntries(snapshot=snapshot, keys=keys, lists=lists, clock=self._clock),
                remove_entry=RemoveEntry(snapshot=snapshot, lists=lists, erasure=erasure),
                seal_list=SealList(snapshot=snapshot, lists=lists),
                destroy_list=DestroyList(snapshot=snapshot, erasure=erasure),
                calibrate_list=CalibrateList(snapshot=snapshot, keys=keys, erasure=erasure),
                forecast_list=ForecastList(snapshot=snapshot, lists=lists),
                snapshot=snapshot,
                lists=lists,
            ),
            self._server.grpc,
        )
        self._life = SignedLife(bus, Service.MATCH, host=socket.gethostname(), epoch=new_epoch(), clock=self._clock)
        self._tasks = {
            "bus": bus.until_lost,
            "life": self._life.run,
            "deployments": lists.follow_deployments,
            "lists": lists.follow_lists,
            "load": lists.load,
            "erasure": erasure.run,
        }

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return self._tasks

    async def open(self) -> str:
        assert self._bus is not None
        assert self._lists is not None
        assert self._search is not None
        if not await self._lists.caught_up(within=CATCH_UP_SECONDS):
            log.warning("lists_not_all_loaded")
        self._answering = await self._bus.serve(SEARCH, pb.SearchRequest, SearchHandler(self._search), name="match")
        address = await self._server.start()
        self._server.set_serving(True)
        return address

    async def refuse_new(self) -> None:
        self._server.set_serving(False)

    async def finish(self) -> None:
        """Until the searches at work are answered, the calls have ended and nothing is left to erase."""
        if self._answering is not None:
            await self._answering.close()
        await self._server.stop(grace=self._settings.drain_seconds)
        if self._erasure is not None:
            await self._erasure.idle()

    async def close(self) -> None:
        await self._server.stop(grace=_LAST_REPLIES_S)
        if self._lists is not None:
            await self._lists.close()
        if self._life is not None:
            await self._life.sign_out()
        if self._bus is not None:
            await self._bus.drain()
            await self._bus.close()
        await self._alerts.close()
        self._volume.close()
