"""Pushes a clip to Overt as a camera would: .venv/bin/python examples/push_camera.py CLIP ADDRESS DEPLOYMENT CAMERA

The camera's token comes from the environment variable OVERT_CAMERA_TOKEN, never from the command line.
It speaks to loopback, without TLS. Generate the stubs for another language from proto/overt/api/ingest/v1/ingest.proto.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from fractions import Fraction

import av
import grpc
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc


async def frames(clip: str) -> AsyncIterator[ingest_pb2.Frame]:
    """Sends in real time and never waits for receipts: the newest frame wins."""
    with av.open(clip) as container:
        stream = container.streams.video[0]
        jpeg = av.CodecContext.create("mjpeg", "w")
        jpeg.width, jpeg.height, jpeg.pix_fmt = stream.width, stream.height, "yuvj420p"
        rate = stream.average_rate or Fraction(25)
        jpeg.time_base, jpeg.options = Fraction(1, rate), {"qmin": "2", "qmax": "3"}
        start = asyncio.get_running_loop().time()
        for number, picture in enumerate(container.decode(stream), start=1):
            packet = jpeg.encode(picture.reformat(format="yuvj420p"))[0]
            frame = ingest_pb2.Frame(sequence=number, jpeg=bytes(packet))
            due = start + number / float(rate)
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            frame.captured_at.GetCurrentTime()
            yield frame


async def main(clip: str, address: str, deployment: str, camera: str) -> None:
    metadata = (
        ("authorization", f"Bearer {os.environ['OVERT_CAMERA_TOKEN']}"),
        ("overt-deployment", deployment),
        ("overt-camera", camera),
    )
    receipts: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ingest_pb2_grpc.CameraIngestStub(channel)
        async for receipt in stub.StreamFrames(frames(clip), metadata=metadata):
            receipts[ingest_pb2.Receipt.Outcome.Name(receipt.outcome)] += 1
    print(dict(receipts))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    if "OVERT_CAMERA_TOKEN" not in os.environ:
        sys.exit("OVERT_CAMERA_TOKEN is not set: it holds this camera's token")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except grpc.aio.AioRpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
