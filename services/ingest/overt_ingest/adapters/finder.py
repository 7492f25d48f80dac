"""Asks detect about a picture that is no camera's, on a stream that lasts for one question."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import numpy as np
from numpy.typing import NDArray
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc as pb_grpc
from overt.errors import OvertError
from overt.reasons import Reason
from overt.telemetry import current_traceparent
from overt.wire import to_timestamp

from overt_ingest.adapters.detect import open_call
from overt_ingest.adapters.pixels import off_loop
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.faces import Away, Box

ANSWER_DEADLINE_S = 1.0
"""It takes 15 ms of a core, and its turn; a sighting is over after 1 s in any case."""

SMALLEST_PX = 20.0
"""Detect looks at a picture as small as the smallest face allows: from here down it looks at all its pixels."""


class DetectFinder:
    """See the port `FaceFinder`. The zone is one where nobody is: nothing in these pictures is templated."""

    def __init__(self, channel: grpc.aio.Channel, spec: CameraSpec) -> None:
        self._stub: Any = pb_grpc.DetectStub(channel)
        self._spec = spec

    async def find(self, picture: NDArray[np.uint8]) -> list[Box]:
        call = None
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                call = self._stub.Analyse()
                await open_call(call, self._opening())
                return await _ask(call, picture)
        except TimeoutError:
            raise Away(Reason.DEADLINE) from None
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, OvertError):
            raise Away(Reason.DETECT_AWAY) from None
        finally:
            if call is not None:
                call.cancel()

    def _opening(self) -> pb.Opening:
        # At full scale and away from the zone: whoever can be found must be.
        opening = pb.Opening(
            deployment=self._spec.deployment, camera=self._spec.camera, smallest_face_px=SMALLEST_PX, everywhere=True
        )
        for x, y in ((0.0, 0.0), (1e-6, 0.0), (0.0, 1e-6)):
            opening.zone.add(x=x, y=y)
        return opening


async def _ask(call: Any, picture: NDArray[np.uint8]) -> list[Box]:
    await call.write(pb.AnalyseRequest(frame=await off_loop(_question, picture)))
    reply = await call.read()
    if not isinstance(reply, pb.AnalyseReply) or reply.sequence != 1 or reply.rejected:
        raise Away(Reason.DETECT_AWAY)
    return [Box(face.box.x, face.box.y, face.box.width, face.box.height) for face in reply.faces]


def _question(picture: NDArray[np.uint8]) -> pb.FrameToAnalyse:
    message = pb.FrameToAnalyse(
        sequence=1, captured_at=to_timestamp(datetime.now(UTC)), traceparent=current_traceparent()
    )
    message.raw.height, message.raw.width = picture.shape[:2]
    message.raw.bgr = picture.tobytes()
    return message
