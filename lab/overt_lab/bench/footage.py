"""A clip as its camera sent it: compressed packets in memory, sent again without being decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from overt.errors import Fatal

GAP_S = 0.6
"""Of silence between two passes: half a second without a face ends a track, so everybody is somebody new."""

_MOST_BYTES = 256 * 1024 * 1024
_CARRIED = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
"""What MPEG-TS carries and a camera sends."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed picture. Times in units of the clip's time base, from 0 at the first picture shown."""

    data: bytes = field(repr=False)
    pts: int
    dts: int
    duration: int
    is_key: bool
    due_s: float
    """When it is sent, from the beginning of a pass."""
    place: int
    """Of its picture in the order shown, from 0."""


@dataclass(frozen=True, slots=True)
class Footage:
    """A clip's pictures. `template` is the stream they came from, open as long as `open_footage` is."""

    path: Path
    packets: tuple[Packet, ...] = field(repr=False)
    template: Any = field(repr=False)
    time_base: Any
    frames_per_second: float
    width: int
    height: int

    @property
    def clip_s(self) -> float:
        """Of one pass without the silence after it."""
        return len(self.packets) / self.frames_per_second

    @property
    def pass_s(self) -> float:
        """Of one pass and the silence after it."""
        return self.clip_s + GAP_S


@contextmanager
def open_footage(path: Path) -> Iterator[Footage]:
    """Fatal, with advice, for what is no video, or one that cannot be sent as it is."""
    try:
        container = av.open(str(path))
    except FileNotFoundError:
        raise Fatal(f"{path} is not there: give a video with --video FILE") from None
    except (av.FFmpegError, OSError) as error:
        raise Fatal(f"{path} is not a video that can be read: give an MP4 with H.264 or H.265") from error
    with container:
        if not container.streams.video:
            raise Fatal(f"{path} has no pictures in it: give an MP4 with H.264 or H.265")
        stream = container.streams.video[0]
        if stream.codec_context.name not in _CARRIED:
            raise Fatal(
                f"{path} is {stream.codec_context.name}, which no camera sends: make an MP4 of it, for example with "
                "ffmpeg -i FILE -c:v libx264 -pix_fmt yuv420p OUT.mp4"
            )
        try:
            found = [packet for packet in container.demux(stream) if packet.size]
        except av.FFmpegError as error:
            raise Fatal(f"{path} is damaged: it cannot be read to its end") from error
        if len(found) < 2 or not found[0].is_keyframe or any(p.pts is None or p.dts is None for p in found):
            raise Fatal(
                f"{path} is damaged: it does not begin with a whole picture, or does not say when pictures come"
            )
        if sum(packet.size for packet in found) > _MOST_BYTES:
            raise Fatal(f"{path} is too long to be played from memory: cut it to {_MOST_BYTES >> 20} MB")
        yield Footage(
            path=path,
            packets=tuple(_packets(found)),
            template=stream,
            time_base=stream.time_base,
            frames_per_second=float(stream.average_rate or stream.guessed_rate or 25),
            width=stream.width,
            height=stream.height,
        )


def _packets(found: list[Any]) -> Iterator[Packet]:
    first, first_sent = min(p.pts for p in found), found[0].dts
    places = {pts: place for place, pts in enumerate(sorted(p.pts for p in found))}
    for packet in found:
        yield Packet(
            data=bytes(packet),
            pts=packet.pts - first,
            dts=packet.dts - first,
            duration=packet.duration or 0,
            is_key=packet.is_keyframe,
            due_s=float((packet.dts - first_sent) * packet.time_base),
            place=places[packet.pts],
        )


class Remuxer:
    """One endless MPEG-TS stream of a clip, pass after pass, its clock going on. Parameter sets precede each key frame
    (FFmpeg's muxer sees to that), so a decoder may begin at any of them. 0.03 ms of work a picture."""

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._sink = _Sink()
        # With its length in its header a picture leaves the receiver's demultiplexer when it is there, not when
        # the next one comes.
        options = {"flush_packets": "1", "omit_video_pes_length": "0"}
        self._container = av.open(self._sink, "w", format="mpegts", options=options)
        self._stream = self._container.add_stream_from_template(footage.template)

    def muxed(self, packet: Packet, *, later_s: float) -> bytes:
        """The packet, its times moved by `later_s`: never to before those of the one before."""
        shift = round(later_s / self._footage.time_base)
        out = av.Packet(packet.data)
        out.stream = self._stream
        out.time_base = self._footage.time_base
        out.pts, out.dts, out.duration = packet.pts + shift, packet.dts + shift, packet.duration
        out.is_keyframe = packet.is_key
        self._container.mux(out)
        return self._sink.take()

    def close(self) -> None:
        self._container.close()


class _Sink:
    """What the muxer writes to."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
