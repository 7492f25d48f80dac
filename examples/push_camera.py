"""Pushes a clip as a camera would: .venv/bin/python examples/push_camera.py CLIP ADDRESS DEPLOYMENT CAMERA [CA_FILE]

The camera's token comes from the environment variable OVERT_CAMERA_TOKEN, never from the command line. Without CA_FILE
(PEM) it speaks in the clear, to loopback only. Other languages: stubs from proto/overt/api/ingest/v1/ingest.proto."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import av
import grpc
from overt.api.ingest.v1 import ingest_pb2, ingest_pb2_grpc


async def frames(clip: av.container.InputContainer, stream: av.VideoStream) -> AsyncIterator[ingest_pb2.Frame]:
    """Sends in real time and never waits for receipts: the newest frame wins."""
    jpeg = av.CodecContext.create("mjpeg", "w")
    jpeg.width, jpeg.height, jpeg.pix_fmt = stream.width, stream.height, "yuvj420p"
    rate = stream.average_rate or Fraction(25)
    jpeg.time_base, jpeg.options = Fraction(1, rate), {"qmin": "2", "qmax": "3"}
    start = asyncio.get_running_loop().time()
    for number, picture in enumerate(clip.decode(stream), start=1):
        packet = jpeg.encode(picture.reformat(format="yuvj420p"))[0]
        frame = ingest_pb2.Frame(sequence=number, jpeg=bytes(packet))
        await asyncio.sleep(max(0.0, start + number / float(rate) - asyncio.get_running_loop().time()))
        frame.captured_at.GetCurrentTime()
        yield frame


async def main(file: str, address: str, deployment: str, camera: str, ca_file: str = "") -> None:
    token = ("authorization", f"Bearer {os.environ['OVERT_CAMERA_TOKEN']}")
    metadata = (token, ("overt-deployment", deployment), ("overt-camera", camera))
    tls = grpc.ssl_channel_credentials(Path(ca_file).read_bytes()) if ca_file else None
    with av.open(file) as clip:
        pictures = frames(clip, clip.streams.video[0])
        async with grpc.aio.secure_channel(address, tls) if tls else grpc.aio.insecure_channel(address) as channel:
            call = ingest_pb2_grpc.CameraIngestStub(channel).StreamFrames(pictures, metadata=metadata)
            print(dict(Counter([ingest_pb2.Receipt.Outcome.Name(receipt.outcome) async for receipt in call])))


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    if "OVERT_CAMERA_TOKEN" not in os.environ:
        sys.exit("OVERT_CAMERA_TOKEN is not set: it holds this camera's token")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (av.FFmpegError, IndexError):
        sys.exit(f"{sys.argv[1]} is not a video that can be read: give an MP4, MKV, AVI, MOV or GIF file")
    except OSError as error:
        sys.exit(f"the CA file cannot be read: {error}")
    except asyncio.CancelledError:
        sys.exit("the call was cut short: the clip is damaged further on, or the server ended the call")
    except grpc.aio.AioRpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
