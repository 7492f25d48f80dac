"""A detect that reads what is in the slots, as a process of its own that can be killed while it does.

python reading_detect.py ADDRESS ISSUER_PUBLIC_KEY RING_SOCKET NOTES HOLD_AT: it writes a line for every frame that it
was shown into NOTES, and never lets go of frame number HOLD_AT (0: answers them all).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from overt.api.detect.v1 import detect_pb2 as pb
from overt.api.detect.v1 import detect_pb2_grpc
from overt.auth import TokenVerifier
from overt.ids import new_epoch
from overt.ring import RingView
from overt.rpc import RpcServer


class ReadingDetect(detect_pb2_grpc.DetectServicer):
    def __init__(self, door: Path, notes: Path, hold_at: int) -> None:
        self._door = door
        self._notes = notes
        self._hold_at = hold_at
        self._epoch = new_epoch()
        self._shown = 0

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeReply:  # noqa: N802
        return pb.DescribeReply(epoch=self._epoch, pack="fake", model_digest="fake", template_length=4)

    async def Analyse(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.AnalyseRequest], context: Any
    ) -> AsyncIterator[pb.AnalyseReply]:
        async for request in request_iterator:
            if request.WhichOneof("what") == "opening":
                yield pb.AnalyseReply(ring_attached=bool(request.opening.ring_id))
                continue
            await asyncio.to_thread(self._look, request.frame)
            yield pb.AnalyseReply(sequence=request.frame.sequence)

    def _look(self, frame: pb.FrameToAnalyse) -> None:
        self._shown += 1
        if frame.WhichOneof("picture") != "slot":
            self._note(f"{self._shown} {frame.WhichOneof('picture')}")
            return
        slot = frame.slot
        view = RingView.attach(self._door, slot.ring_id, timeout=2)
        with view.slot(slot.index, slot.generation, slot.width * slot.height * 3 // 2) as planes:
            grey = sum(planes[: slot.width]) // slot.width
            self._note(f"{self._shown} slot {grey}")
            if self._shown == self._hold_at:
                threading.Event().wait()
        view.close()

    def _note(self, line: str) -> None:
        with self._notes.open("a") as notes:
            notes.write(line + "\n")


async def main() -> None:
    address, key, door, notes, hold_at = sys.argv[1:]
    server = RpcServer(address, verifier=TokenVerifier(Path(key).read_bytes()))
    servicer = ReadingDetect(Path(door), Path(notes), int(hold_at))
    detect_pb2_grpc.add_DetectServicer_to_server(servicer, server.grpc)
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
