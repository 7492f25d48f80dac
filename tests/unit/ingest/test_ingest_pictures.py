"""Pictures at the door and on the way: what is refused unread, what travels, and that it is overwritten."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from overt.errors import Rejected
from overt.reasons import Reason
from overt_ingest.adapters.pixels import pulled_picture, pushed_picture, wire_picture

pytestmark = pytest.mark.unit


def noise(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)


def _jpeg(width: int, height: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(noise(width, height), colorspace="BGR"))


def _claiming(width: int, height: int) -> bytes:
    data = bytearray(_jpeg(64, 64))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_A_JPEG),
        (b"hello", Reason.NOT_A_JPEG),
        (b"\xff\xd8\xff", Reason.NOT_A_JPEG),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), Reason.NOT_A_JPEG),
        (_jpeg(1, 1), Reason.PICTURE_TOO_SMALL),
        (_claiming(20_000, 20_000), Reason.PICTURE_TOO_LARGE),
        (b"\xff\xd8" + bytes(8 * 1024 * 1024), Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_not_a_usable_jpeg_is_refused_unread(data: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        pushed_picture(data)
    assert refused.value.reason is reason


def test_a_pushed_picture_travels_as_it_came_and_is_decoded_only_when_asked() -> None:
    data = _jpeg(64, 80)
    picture = pushed_picture(data)
    sent, raw = wire_picture(picture)
    assert sent is data
    assert raw is None
    assert picture.size_bytes == len(data), "nothing was decoded"
    pixels = picture.bgr()
    assert pixels.shape == (80, 64, 3)
    assert "JpegPicture(" in repr(picture)
    picture.destroy()
    picture.destroy()
    assert picture.jpeg is None
    assert not pixels.any(), "overwritten"
    with pytest.raises(RuntimeError):
        picture.bgr()


def _decoded(width: int, height: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(noise(width, height), format="bgr24").reformat(format="yuv420p")


def test_a_pulled_picture_is_converted_once_travels_raw_and_is_overwritten() -> None:
    picture = pulled_picture(_decoded(80, 64))
    jpeg, raw = wire_picture(picture)
    assert jpeg is None
    assert raw is not None
    assert raw is picture.bgr()
    picture.destroy()
    assert not raw.any()
    with pytest.raises(RuntimeError):
        picture.bgr()


def test_a_pulled_picture_that_is_too_large_to_travel_raw_travels_as_a_jpeg() -> None:
    jpeg, raw = wire_picture(pulled_picture(_decoded(2560, 1440)))
    assert raw is None
    assert jpeg is not None
    assert simplejpeg.decode_jpeg_header(io.BytesIO(jpeg).getvalue())[:2] == (1440, 2560)


_FORMATS = ("yuv420p", "yuvj420p", "nv12", "yuv422p", "yuvj422p", "yuv444p", "gray", "yuv420p10le", "bgr24")


@pytest.mark.parametrize("pixel_format", _FORMATS)
def test_the_planes_of_every_format_show_the_same_picture(pixel_format: str) -> None:
    smooth = cv2.resize(noise(12, 9), (336, 190), interpolation=cv2.INTER_CUBIC)
    frame = av.VideoFrame.from_ndarray(smooth, format="bgr24").reformat(format=pixel_format)
    picture = pulled_picture(frame)
    assert picture.i420_bytes == 336 * 190 * 3 // 2
    buffer = memoryview(bytearray(picture.i420_bytes))
    assert picture.i420_into(buffer) == (336, 190)
    shown = cv2.cvtColor(np.frombuffer(buffer, np.uint8).reshape(190 * 3 // 2, 336), cv2.COLOR_YUV2BGR_I420)
    expected = frame.to_ndarray(format="bgr24").astype(int)
    assert np.abs(shown - expected).mean() < 3


@pytest.mark.parametrize("pixel_format", _FORMATS)
@pytest.mark.parametrize("part", [(0, 0, 336, 190), (10, 20, 100, 120), (11, 21, 100, 121), (301, 161, 336, 190)])
def test_a_part_shows_what_the_whole_shows_there(pixel_format: str, part: tuple[int, int, int, int]) -> None:
    smooth = cv2.resize(noise(12, 9), (336, 190), interpolation=cv2.INTER_CUBIC)
    frame = av.VideoFrame.from_ndarray(smooth, format="bgr24").reformat(format=pixel_format)
    picture = pulled_picture(frame)
    left, top, right, bottom = part
    shown = picture.part(*part)
    assert picture.sides() == (336, 190)
    assert shown.shape == (bottom - top, right - left, 3)
    expected = frame.to_ndarray(format="bgr24")[top:bottom, left:right].astype(int)
    assert np.abs(shown - expected).mean() < 3
    shown.fill(0)  # the caller's own
    assert picture.part(*part).any()


def test_a_part_at_an_odd_edge_and_of_a_jpeg() -> None:
    frame = av.VideoFrame.from_ndarray(noise(120, 90), format="bgr24").reformat(101, 67, format="yuv420p")
    assert pulled_picture(frame).part(60, 20, 101, 67).shape == (47, 41, 3)
    pushed = pushed_picture(_jpeg(101, 67))
    assert pushed.sides() == (101, 67)
    assert (pushed.part(60, 20, 101, 67) == pushed.bgr()[20:67, 60:101]).all()


def test_full_range_that_only_the_frame_knows_of_is_made_limited() -> None:
    frame = _decoded(64, 64)
    for plane, value in zip(frame.planes, (255, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.color_range = 2
    buffer = memoryview(bytearray(64 * 64 * 3 // 2))
    pulled_picture(frame).i420_into(buffer)
    assert 233 <= max(buffer[: 64 * 64]) <= 236


def test_of_an_odd_side_the_last_row_or_column_is_left_out() -> None:
    frame = av.VideoFrame.from_ndarray(noise(120, 90), format="bgr24").reformat(101, 67, format="yuv420p")
    picture = pulled_picture(frame)
    assert picture.i420_bytes == 100 * 66 * 3 // 2
    buffer = memoryview(bytearray(picture.i420_bytes))
    assert picture.i420_into(buffer) == (100, 66)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)
    assert (np.frombuffer(buffer, np.uint8)[:6600].reshape(66, 100) == luma[:66, :100]).all()


def test_what_came_as_a_jpeg_has_no_planes() -> None:
    picture = pushed_picture(_jpeg(64, 64))
    assert picture.i420_bytes is None
    assert picture.i420_into(memoryview(bytearray(10))) is None
