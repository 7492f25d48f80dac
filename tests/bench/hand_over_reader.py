"""The other end of test_hand_over.py, as a process of its own: looks at every byte of a frame and answers.

python hand_over_reader.py ADDRESS ISSUER_PUBLIC_KEY RING_SOCKET
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.auth import TokenVerifier
from overt.ring import RingView
from overt.rpc import RpcServer


class Reader(detect_pb2_grpc.DetectServicer):
    def __init__(self, door: Path) -> None:
        self._door = door
        self._views: dict[str, RingView] = {}

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeReply:  # noqa: N802
        return pb.DescribeReply(epoch="e", model_digest="d", template_length=4)

    async def Analyse(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AnalyseRequest], context: Any
    ) -> AsyncIterator[pb.AnalyseReply]:
        async for request in request_iterator:
            if request.WhichOneof("what") == "frame":
                self._look(request.frame)
            yield pb.AnalyseReply(sequence=request.frame.sequence)

    def _look(self, frame: pb.FrameToAnalyse) -> None:
        """In the event loop: a thread would cost the same for every kind."""
        kind = frame.WhichOneof("picture")
        with contextlib.ExitStack() as shown:
            if kind == "slot":
                slot = frame.slot
                if slot.ring_id not in self._views:
                    self._views[slot.ring_id] = RingView.attach(self._door, slot.ring_id, timeout=2)
                view = self._views[slot.ring_id]
                data: Any = shown.enter_context(
                    view.slot(slot.index, slot.generation, slot.width * slot.height * 3 // 2)
                )
            elif kind == "raw":
                data = frame.raw.bgr
            else:
                data = np.ascontiguousarray(simplejpeg.decode_jpeg(frame.jpeg, "BGR"))
            words = np.frombuffer(data, np.uint8)
            int(words[: words.size & ~7].view(np.uint64).sum())
            del words, data


async def main() -> None:
    address, key, door = sys.argv[1:]
    server = RpcServer(address, verifier=TokenVerifier(Path(key).read_bytes()))
    detect_pb2_grpc.add_DetectServicer_to_server(Reader(Path(door)), server.grpc)
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
