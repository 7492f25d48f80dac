"""Pictures in the forms they come in, and how they travel to detect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from overt.errors import Rejected
from overt.pictures import MOST_BYTES, check_size
from overt.reasons import Reason

from overt_ingest.domain.frame import Picture

P = ParamSpec("P")
T = TypeVar("T")

# A raw picture that does not fit a message of MOST_BYTES travels as a JPEG of this quality.
_TRAVEL_QUALITY = 93

_FULL_RANGE = 2
"""FFmpeg's AVCOL_RANGE_JPEG: luma from 0 to 255, not from 16 to 235."""


async def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` in a thread. A caller that is cancelled meanwhile gets its cancellation when the thread is done:
    until then it still has the pixels, so nobody may count them as destroyed. What `work` raises is gone, with the
    frames that it came through, as soon as its caller has dealt with it."""
    future = asyncio.get_running_loop().run_in_executor(None, lambda: work(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait((future,))
        raise
    finally:
        # An error, its traceback, this frame and the future that has the error would keep one another alive.
        del future


class JpegPicture:
    """As a camera pushed it. Decoded only when a sighting needs its pixels."""

    __slots__ = ("_bgr", "_jpeg")

    def __init__(self, jpeg: bytes) -> None:
        self._jpeg: bytes | None = jpeg
        self._bgr: NDArray[np.uint8] | None = None

    @property
    def size_bytes(self) -> int:
        return len(self._jpeg or b"") + (self._bgr.nbytes if self._bgr is not None else 0)

    @property
    def jpeg(self) -> bytes | None:
        return self._jpeg

    @property
    def i420_bytes(self) -> int | None:
        return None

    def i420_into(self, view: memoryview) -> tuple[int, int] | None:
        return None

    def bgr(self) -> NDArray[np.uint8]:
        if self._bgr is None:
            if self._jpeg is None:
                raise RuntimeError("this picture is destroyed")
            try:
                self._bgr = np.asarray(simplejpeg.decode_jpeg(self._jpeg, "BGR"), dtype=np.uint8)
            except ValueError:
                raise Rejected(Reason.NOT_A_JPEG, "the picture does not decode") from None
        return self._bgr

    def sides(self) -> tuple[int, int]:
        height, width = self.bgr().shape[:2]
        return width, height

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        return self.bgr()[top:bottom, left:right].copy()

    def destroy(self) -> None:
        self._jpeg = None
        bgr, self._bgr = self._bgr, None
        if bgr is not None:
            bgr.fill(0)

    def __repr__(self) -> str:
        return f"JpegPicture({self.size_bytes} bytes)"


class DecodedFrame(Protocol):
    """What a video decoder hands out (av.VideoFrame)."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def format(self) -> Any: ...
    @property
    def color_range(self) -> int: ...
    @property
    def planes(self) -> Sequence[Any]: ...
    def reformat(self, *, format: str, dst_colorspace: str, dst_color_range: str, threads: int) -> DecodedFrame: ...
    def to_ndarray(self, *, format: str, threads: int) -> NDArray[Any]: ...


class VideoPicture:
    """A decoded video frame. Converted only as far as somebody asks, and then only what is asked for: most frames
    need no more than a copy of their planes."""

    __slots__ = ("_bgr", "_frame", "_height", "_width")

    def __init__(self, frame: DecodedFrame) -> None:
        self._frame: DecodedFrame | None = frame
        self._width, self._height = frame.width, frame.height
        self._bgr: NDArray[np.uint8] | None = None

    @property
    def size_bytes(self) -> int:
        return self._width * self._height * 3

    @property
    def jpeg(self) -> bytes | None:
        return None

    @property
    def i420_bytes(self) -> int | None:
        return _even(self._width) * _even(self._height) * 3 // 2

    def i420_into(self, view: memoryview) -> tuple[int, int] | None:
        """See the port. 0.3 ms for 1080p as most cameras send it (yuv420p); 2 ms more in any other format. The
        planes are taken as they are when the stream says that its colours are BT.709's."""
        frame = self._alive()
        if not _is_limited_420(frame):
            # One thread: a camera's frames come one by one, and cameras share the cores.
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", threads=1)
        width, height = _even(self._width), _even(self._height)
        _copy_planes(frame, (0, 0, width, height), np.frombuffer(view, np.uint8))
        return width, height

    def bgr(self) -> NDArray[np.uint8]:
        if self._bgr is None:
            self._bgr = np.ascontiguousarray(self._alive().to_ndarray(format="bgr24", threads=1), dtype=np.uint8)
        return self._bgr

    def sides(self) -> tuple[int, int]:
        return self._width, self._height

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """Of the planes no more is converted than that."""
        frame = self._alive()
        # Outwards to whole pixels of the colour planes, which have half as many.
        x, y, x_end, y_end = _even(left), _even(top), _even(right + 1), _even(bottom + 1)
        if not _is_limited_420(frame) or x_end > self._width or y_end > self._height:
            return self.bgr()[top:bottom, left:right].copy()
        planes = np.empty((x_end - x) * (y_end - y) * 3 // 2, np.uint8)
        _copy_planes(frame, (x, y, x_end, y_end), planes)
        whole = cv2.cvtColor(planes.reshape(-1, x_end - x), cv2.COLOR_YUV2BGR_I420)
        planes.fill(0)
        if whole.shape[:2] == (bottom - top, right - left):
            return np.asarray(whole, np.uint8)
        found = whole[top - y : bottom - y, left - x : right - x].copy()
        whole.fill(0)
        return np.asarray(found, np.uint8)

    def _alive(self) -> DecodedFrame:
        if self._frame is None:
            raise RuntimeError("this picture is destroyed")
        return self._frame

    def destroy(self) -> None:
        self._frame = None
        bgr, self._bgr = self._bgr, None
        if bgr is not None and bgr.flags.writeable:
            bgr.fill(0)

    def __repr__(self) -> str:
        return f"VideoPicture({self._width}x{self._height})"


def _even(side: int) -> int:
    return side - side % 2


def _is_limited_420(frame: DecodedFrame) -> bool:
    """As most cameras send it."""
    return bool(frame.format.name == "yuv420p" and frame.color_range != _FULL_RANGE)


def _copy_planes(frame: DecodedFrame, rectangle: tuple[int, int, int, int], into: NDArray[np.uint8]) -> None:
    """Of a rectangle (left, top, right, bottom, all even) the luma, then both colours, without padding."""
    begin = 0
    for plane, per in zip(frame.planes, (1, 2, 2), strict=True):
        left, top, right, bottom = (side // per for side in rectangle)
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        end = begin + (bottom - top) * (right - left)
        np.copyto(into[begin:end].reshape(bottom - top, right - left), lines[top:bottom, left:right])
        begin = end


def pushed_picture(jpeg: bytes) -> JpegPicture:
    """A JPEG from outside, its header checked and its sides bounded; nothing is decoded. Rejected."""
    if len(jpeg) > MOST_BYTES:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, f"a picture has at most {MOST_BYTES >> 20} MB")
    if not jpeg.startswith(b"\xff\xd8"):
        raise Rejected(Reason.NOT_A_JPEG, "the picture is not a JPEG")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError:
        raise Rejected(Reason.NOT_A_JPEG, "the JPEG's header does not parse") from None
    check_size(width, height)
    return JpegPicture(jpeg)


def pulled_picture(frame: DecodedFrame) -> VideoPicture:
    """Rejected if its sides are out of bounds."""
    check_size(frame.width, frame.height)
    return VideoPicture(frame)


def wire_picture(picture: Picture) -> tuple[bytes, None] | tuple[None, NDArray[np.uint8]]:
    """How a picture travels to detect: as the JPEG it came as, else raw, else (too large for a message) as a JPEG.
    Blocks."""
    if (jpeg := picture.jpeg) is not None:
        return jpeg, None
    bgr = picture.bgr()
    if bgr.nbytes <= MOST_BYTES:
        return None, bgr
    return bytes(simplejpeg.encode_jpeg(bgr, _TRAVEL_QUALITY, "BGR", "420")), None
