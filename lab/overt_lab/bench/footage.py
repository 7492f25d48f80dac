"""A clip as its camera sent it: compressed packets in memory, sent again without being decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from overt.errors import Fatal

from overt_lab.bench.encoding import encoded_anew, flat_pictures

GAP_S = 0.6
"""Of silence between two passes: half a second without a face ends a track, so everybody is somebody new."""

_MOST_BYTES = 256 * 1024 * 1024

_MOST_WITH_LENGTH = 64_000
"""A header of MPEG-TS tells lengths of up to 64 kB; less what the muxer adds to the data."""
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
    anew: bool = False
    """Encoded for this measurement, not the clip's own packets."""
    cap: tuple[Packet, ...] = field(default=(), repr=False)
    """Flat pictures instead of the silence after a pass, as if the lens were covered. A decoder that waits for pictures
    that refer to later ones keeps the last of a pass until more come; a camera never stops sending."""
    delimiter: bytes = field(default=b"", repr=False)
    """What begins every picture of the stream; empty where there is no such thing."""

    def __str__(self) -> str:
        encoded = ", encoded anew" if self.anew else ""
        return f"{self.width}x{self.height}, {self.frames_per_second:g} frames/s{encoded}"

    @property
    def clip_s(self) -> float:
        """Of one pass without the silence after it."""
        return len(self.packets) / self.frames_per_second

    @property
    def own_part(self) -> float:
        """Of the pictures that are sent, those that are the clip's and not flat."""
        return len(self.packets) / (len(self.packets) + len(self.cap))

    @property
    def pass_s(self) -> float:
        """Of one pass and the silence after it."""
        return self.clip_s + GAP_S


@contextmanager
def open_footage(path: Path, *, anew: bool = False) -> Iterator[Footage]:
    """The clip's own packets or, `anew`, those of the same pictures as a surveillance camera would have encoded them.
    Fatal, with advice, for what is no video, or one that cannot be sent as it is."""
    try:
        container = av.open(encoded_anew(path) if anew else str(path), mode="r")
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
                f"{path} is {stream.codec_context.name}, which no camera sends: say --anew, or give an MP4 with H.264"
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
        # The lens cap's pictures bring other parameter sets with them, so the clip's have to be said again.
        packets = tuple(_packets(found, before_keys=parameter_sets(stream.codec_context)))
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        reorders = any(later.pts < sooner.pts for sooner, later in pairwise(packets))
        yield Footage(
            path=path,
            packets=packets,
            cap=lens_cap(stream, packets, rate) if reorders else (),
            template=stream,
            time_base=stream.time_base,
            frames_per_second=rate,
            width=stream.width,
            height=stream.height,
            anew=anew,
            delimiter=_delimiter(stream.codec_context.name, stream.codec_context.extradata or b""),
        )


def _delimiter(codec: str, extradata: bytes) -> bytes:
    """An access unit delimiter (H.264 7.3.2.4, H.265 7.3.2.5), framed as the clip's own packets are: behind its length
    as in MP4 (ISO/IEC 14496-15), or behind a start code."""
    unit = {"h264": b"\x09\xf0", "hevc": b"\x46\x01\x50"}.get(codec)
    if unit is None:
        return b""
    if not extradata.startswith(b"\x01"):
        return b"\x00\x00\x00\x01" + unit
    bytes_of_length = (extradata[4 if codec == "h264" else 21] & 3) + 1
    return len(unit).to_bytes(bytes_of_length, "big") + unit


def lens_cap(stream: Any, packets: tuple[Packet, ...], frames_per_second: float) -> tuple[Packet, ...]:
    """Flat pictures at the clip's size and pace that come after its last one, the first a key frame. None where nothing
    here encodes what the clip is."""
    tick = 1 / float(stream.time_base)
    last = max(packet.pts for packet in packets)
    early = packets[0].pts - packets[0].dts
    return tuple(
        Packet(
            data=data,
            pts=(pts := last + round((number + 1) * tick / frames_per_second)),
            dts=pts - early,
            duration=packets[0].duration,
            is_key=number == 0,
            due_s=(len(packets) + number) / frames_per_second,
            place=len(packets) + number,
        )
        for number, data in enumerate(flat_pictures(stream.codec_context, round(GAP_S * frames_per_second)))
    )


def parameter_sets(context: Any) -> bytes:
    """Of H.264, framed as the clip's packets are (the record of ISO/IEC 14496-15, 5.3.3.1); else empty."""
    record = context.extradata or b""
    if context.name != "h264" or not record.startswith(b"\x01"):
        return record if context.name == "h264" else b""
    bytes_of_length, found, at = (record[4] & 3) + 1, b"", 5
    for few in (0x1F, 0xFF):  # sequence parameter sets, picture parameter sets
        count, at = record[at] & few, at + 1
        for _ in range(count):
            size, at = int.from_bytes(record[at : at + 2], "big"), at + 2
            found += size.to_bytes(bytes_of_length, "big") + record[at : at + size]
            at += size
    return found


def _packets(found: list[Any], *, before_keys: bytes) -> Iterator[Packet]:
    first, first_sent = min(p.pts for p in found), found[0].dts
    places = {pts: place for place, pts in enumerate(sorted(p.pts for p in found))}
    for packet in found:
        yield Packet(
            data=before_keys * packet.is_keyframe + bytes(packet),
            pts=packet.pts - first,
            dts=packet.dts - first,
            duration=packet.duration or 0,
            is_key=packet.is_keyframe,
            due_s=float((packet.dts - first_sent) * packet.time_base),
            place=places[packet.pts],
        )


class Remuxer:
    """One endless MPEG-TS stream of a clip, pass after pass, its clock going on. Parameter sets precede each key frame
    (FFmpeg's muxer sees to that), so a decoder may begin at any of them. 0.05 ms of work a picture.

    A receiver knows where a picture ends when the next one begins: over RTP a bit tells it at once, in MPEG-TS it would
    wait 40 ms, and 0.6 s at the end of a pass. So the delimiter that begins a picture is sent when it is announced,
    right behind the picture before.
    """

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._sink = Sink()
        # With its length in its header, what is complete leaves the receiver's demultiplexer at once.
        options = {"flush_packets": "1", "omit_video_pes_length": "0"}
        self._container = av.open(self._sink, "w", format="mpegts", options=options)
        self._stream = self._container.add_stream_from_template(footage.template)

    def muxed(self, packet: Packet, *, later_s: float) -> bytes:
        """The packet, its times moved by `later_s`: never to before those of the one before."""
        return self._mux(packet.data, packet, self._ticks(later_s), packet.duration, is_key=packet.is_key)

    def announced(self, following: Packet, *, later_s: float, after: Packet) -> bytes:
        """That this packet is next, with those times. Twice after one whose length does not fit into its header: such
        a one ends where the next begins, and so does that one then."""
        if not self._footage.delimiter:
            return b""
        times = (2, 1) if len(after.data) > _MOST_WITH_LENGTH else (1,)
        shift = self._ticks(later_s)
        return b"".join(
            self._mux(self._footage.delimiter, following, shift, 0, is_key=False, early=early) for early in times
        )

    def _ticks(self, later_s: float) -> int:
        return round(later_s / float(self._footage.time_base))

    def _mux(self, data: bytes, times: Packet, shift: int, duration: int, *, is_key: bool, early: int = 0) -> bytes:
        out = av.Packet(data)
        out.stream = self._stream
        out.time_base = self._footage.time_base
        # A muxer wants every packet later than the last: the announcement is a tick before what it announces.
        out.pts, out.dts, out.duration = times.pts + shift, times.dts + shift - early, duration
        out.is_keyframe = is_key
        self._container.mux(out)
        return self._sink.take()

    def close(self) -> None:
        self._container.close()


class Sink:
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
