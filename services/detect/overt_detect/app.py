"""Puts detect together: the one file that names concrete classes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable, Mapping

from overt.api.detect.v1 import detect_pb2_grpc
from overt.auth import TokenVerifier
from overt.models import PreparedPack, default_directory, ensure
from overt.pictures import SHEET_PX
from overt.rpc import RpcServer, TlsFiles
from overt.runtime import ServiceApp
from overt.telemetry import get_logger

from overt_detect import wire
from overt_detect.adapters import pictures, pixels
from overt_detect.adapters.bytetrack import ByteTrack
from overt_detect.adapters.choosing import Chosen, Wishes, choose
from overt_detect.adapters.ring import StreamRing
from overt_detect.analysing import StreamAnalysis
from overt_detect.domain.acceptance import REFERENCE, SHOT
from overt_detect.enrolling import Enrolment
from overt_detect.handlers import Handlers, Streams
from overt_detect.pool import InferencePool
from overt_detect.settings import Settings

_LAST_REPLIES_S = 0.2
"""What a finished reply needs to leave the process. Idle streams cannot be asked to end, so all wait for it."""

log = get_logger(__name__)


def build(settings: Settings) -> ServiceApp:
    return DetectApp(settings)


def wishes(settings: Settings) -> Wishes:
    """Which engine the settings ask for."""
    return Wishes(
        engine=settings.engine,
        provider=settings.execution_provider,
        device=settings.device,
        precision=settings.precision,
        threads=settings.intra_op_threads,
        streams=workers(settings),
        smallest_score=settings.detection_score,
    )


def workers(settings: Settings) -> int:
    return settings.workers or os.cpu_count() or 1


class DetectApp:
    """Its life is overt.runtime.ServiceApp's. It has no root tasks: all it does, it does for a call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = RpcServer(
            settings.listen,
            verifier=TokenVerifier(settings.issuer_public_key_file.read_bytes()),
            tls=TlsFiles.of(
                certificate=settings.tls_certificate_file, key=settings.tls_key_file, ca=settings.tls_ca_file
            ),
        )
        self._streams = Streams(settings.most_streams)
        self._pool = InferencePool(workers=workers(settings), most_waiting=settings.most_streams)

    async def start(self) -> None:
        prepared, chosen = await self._pool.run(self._load)
        engine, settings = chosen.engine, self._settings
        runs = {"engine": engine.engine, "provider": engine.provider, "precision": engine.precision}
        description = wire.description(
            prepared, epoch=str(uuid.uuid4()), **runs, parity=chosen.parity, side_by_side=workers(settings)
        )

        def begin(opening: wire.StreamOpening) -> StreamAnalysis:
            return StreamAnalysis(
                engine=engine,
                tracker=ByteTrack(),
                acceptance=SHOT,
                zone=opening.zone,
                smallest_face_px=opening.smallest_face_px or settings.smallest_face_px,
                largest_input_px=settings.largest_input_px,
                everywhere=opening.everywhere,
            )

        handlers = Handlers(
            begin=begin,
            enrolment=Enrolment(engine=engine, acceptance=REFERENCE, as_pixels=pixels.BgrPixels),
            pool=self._pool,
            streams=self._streams,
            description=description,
            from_jpeg=pixels.from_jpeg,
            from_raw=pixels.from_raw,
            share_pictures=lambda: StreamRing(settings.ring_socket),
            decode_reference=pictures.decode_reference,
            encode_reference=pictures.encode_reference,
        )
        detect_pb2_grpc.add_DetectServicer_to_server(handlers, self._server.grpc)
        log.info(
            "models_ready",
            pack=prepared.pack.name,
            model_digest=prepared.digest,
            **runs,
            parity=round(chosen.parity, 5),
            epoch=description.epoch,
        )

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return {}

    async def open(self) -> str:
        address = await self._server.start()
        self._server.set_serving(True)
        return address

    async def refuse_new(self) -> None:
        self._server.set_serving(False)
        self._streams.close()

    async def finish(self) -> None:
        """Until every picture in the pool is done. The replies go out, and idle streams are cut, in `close`."""
        await self._pool.idle()

    async def close(self) -> None:
        await self._server.stop(grace=_LAST_REPLIES_S)
        self._pool.close()

    def _load(self) -> tuple[PreparedPack, Chosen]:
        settings = self._settings
        prepared = ensure(settings.model_pack, settings.model_dir or default_directory())
        chosen = choose(prepared, wishes(settings))
        chosen.engine.prepare(*SHEET_PX)
        return prepared, chosen
