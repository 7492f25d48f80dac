"""Which pictures come out of a decoder, which packets they were, and which packets never become one.

A decoder hands pictures out in the order in which they are shown, some packets later than it got them, and says
nothing of those that it skipped. So every packet carries a mark that comes out with its picture. A packet is given
up when a picture that is shown after it has come out, or MOST_DELAY packets later, or at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeAlias

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from overt.errors import Rejected
from overt.pictures import LONGEST_SIDE_PX
from overt.reasons import Reason

from overt_ingest.adapters.backlog import Arrived

Packet: TypeAlias = "av.Packet[Any]"

MOST_DELAY = 64
"""Packets. The most that H.264 and H.265 hold back is 16 pictures; skipped packets between them count as well."""

SLICE_THREADS = 2
"""For each camera; they are idle unless the camera sends its pictures in slices. Cameras share the cores anyway."""


MOST_PIXELS = LONGEST_SIDE_PX**2
"""Of a picture. FFmpeg takes no memory for a larger one."""


class _Mark:
    """Of one packet. An object of its own: PyAV finds it again by its identity."""

    __slots__ = ("at", "captured_at", "number", "pts")

    def __init__(self, number: int, arrived: Arrived[Packet]) -> None:
        self.number = number
        self.pts: int | None = arrived.packet.pts
        self.captured_at = arrived.captured_at
        self.at = arrived.at


class Shown:
    """A picture, when it was captured, and when its packet came (on the monotonic clock, seconds).

    It is there to be taken once. Whoever takes it has the only reference: the thread that decoded it goes on, or waits
    for a silent source, with an empty box in its hands, and the picture ends with its frame.
    """

    __slots__ = ("_frame", "at", "captured_at")

    def __init__(self, frame: VideoFrame, captured_at: datetime, at: float) -> None:
        self._frame: VideoFrame | None = frame
        self.captured_at = captured_at
        self.at = at

    def take(self) -> VideoFrame:
        """Asking twice is a defect."""
        frame, self._frame = self._frame, None
        if frame is None:
            raise RuntimeError("this picture was taken already")
        return frame


class Decoder:
    """Of one stream. For one thread. Of what it has shown it keeps no reference; FFmpeg keeps the pictures that it
    needs to make out the next ones, until then or `begin_anew`."""

    def __init__(self, context: VideoCodecContext) -> None:
        # Frame threads would hold pictures back; slices of one picture may be decoded side by side.
        context.thread_type = "SLICE"
        context.thread_count = SLICE_THREADS
        context.copy_opaque = True
        context.options = {"max_pixels": str(MOST_PIXELS)}
        self._context = context
        self._number = 0
        self._waiting: dict[int, _Mark] = {}
        self._lost: list[datetime] = []
        self._skips = False

    @property
    def every_packet_stands_alone(self) -> bool:
        """None is needed for another: any may be left out."""
        return self._context.codec.intra_only

    def skip(self, skips: bool) -> None:
        """Whether pictures that no other one needs are left out from the next packet on."""
        if skips != self._skips:
            self._skips = skips
            self._context.skip_frame = "NONREF" if skips else "DEFAULT"

    def decode(self, arrived: Arrived[Packet]) -> Iterator[Shown]:
        """The pictures that this packet brings out: usually one, possibly that of an earlier packet. Rejected if it is
        damaged (NOT_A_PICTURE) or its picture is too large, of which nothing is decoded: then it is not lost but
        refused."""
        self._number += 1
        mark = _Mark(self._number, arrived)
        self._waiting[mark.number] = mark
        arrived.packet.opaque = mark
        try:
            frames = self._context.decode(arrived.packet)
        except (av.error.InvalidDataError, av.error.ArgumentError, av.error.MemoryError) as error:
            self._waiting.pop(mark.number, None)
            if isinstance(error, av.error.ArgumentError) or self._context.width * self._context.height > MOST_PIXELS:
                # What a decoder says of a picture beyond the bound depends on the codec; most leave its size here.
                raise Rejected(Reason.PICTURE_TOO_LARGE, f"more than {MOST_PIXELS >> 20} megapixels") from None
            raise Rejected(Reason.NOT_A_PICTURE, "the packet is damaged") from None
        return self._shown(frames)

    def drain(self) -> Iterator[Shown]:
        """What it still holds back. Nothing can be decoded before `begin_anew`."""
        return self._shown(self._context.decode(None))

    def begin_anew(self) -> None:
        """Before a key frame that does not follow on the last packet: what it held back is lost. Idempotent."""
        if self._context.is_open:
            self._context.flush_buffers()
        self._lose(list(self._waiting.values()))

    def lost(self) -> list[datetime]:
        """The captures of packets that were given up since the last call, each told once."""
        lost, self._lost = self._lost, []
        return lost

    def _shown(self, frames: list[VideoFrame]) -> Iterator[Shown]:
        while frames:
            mark = frames[0].opaque
            if not isinstance(mark, _Mark):
                # A decoder that keeps no marks keeps the order: it is the oldest.
                mark = next(iter(self._waiting.values()), None)
            if mark is None or self._waiting.pop(mark.number, None) is None:
                del frames[0]  # given up, and counted, already
                continue
            self._lose([other for other in self._waiting.values() if _comes_before(other, mark)])
            yield Shown(frames.pop(0), mark.captured_at, mark.at)

    def _lose(self, marks: list[_Mark]) -> None:
        for mark in marks:
            del self._waiting[mark.number]
            self._lost.append(mark.captured_at)


def _comes_before(other: _Mark, shown: _Mark) -> bool:
    if other.number <= shown.number - MOST_DELAY:
        return True
    return other.number < shown.number and other.pts is not None and shown.pts is not None and other.pts < shown.pts
