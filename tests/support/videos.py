"""Video clips for tests, encoded in memory from pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from overt_lab.bench.footage import Sink

BGR = NDArray[np.uint8]


def moving(count: int, width: int = 320, height: int = 240) -> Iterator[BGR]:
    """A bright square that walks over noise; nobody in it."""
    ground = np.random.default_rng(1).integers(0, 90, (height // 8, width // 8, 3), dtype=np.uint8)
    ground = np.ascontiguousarray(ground.repeat(8, 0).repeat(8, 1))
    for number in range(count):
        picture = ground.copy()
        left = number * 5 % (width - 40)
        picture[40:80, left : left + 40] = 220
        yield picture


def encoded(
    pictures: Iterable[BGR], *, codec: str = "libx264", fps: int = 25, pixel_format: str = "yuv420p", **options: str
) -> list[av.Packet[Any]]:
    """Packets in the order in which they are sent. `options` are the encoder's: {"bf": "3", "g": "25"}."""
    packets: list[av.Packet[Any]] = []
    context: Any = None
    for number, picture in enumerate(pictures):
        if context is None:
            context = av.CodecContext.create(codec, "w")
            context.height, context.width = picture.shape[:2]
            context.pix_fmt, context.framerate, context.options = pixel_format, fps, options
            context.time_base = Fraction(1, fps)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pixel_format)
        frame.pts = number
        packets += context.encode(frame)
    return packets + list(context.encode(None))


def transport_stream(packets: Iterable[av.Packet[Any]], *, fps: int = 25) -> list[bytes]:
    """The same as MPEG-TS, what belongs to a packet in one piece. Sizes and codecs may change on the way."""
    sink = Sink()
    pieces = []
    with av.open(sink, "w", format="mpegts", options={"flush_packets": "1"}) as output:
        stream = output.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
        for packet in packets:
            packet.stream = stream
            output.mux(packet)
            pieces.append(sink.take())
    return pieces
