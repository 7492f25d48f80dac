"""Frames in both forms give the same pixels, and the colours are those of a video decoder."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from overt.errors import Rejected
from overt.testing import faces
from overt_detect.adapters.pixels import BgrPixels, I420Pixels, from_jpeg, from_raw
from overt_detect.domain.geometry import Region
from overt_detect.ports import Picture, Pixels

pytestmark = pytest.mark.unit

_WIDTH, _HEIGHT = 640, 444


@pytest.fixture(scope="module")
def picture() -> Picture:
    return np.asarray(cv2.resize(faces.group(), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(scope="module")
def planes(picture: Picture) -> bytes:
    return bytes(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)).tobytes())


@pytest.fixture(scope="module")
def i420(planes: bytes) -> I420Pixels:
    return I420Pixels(memoryview(planes), _WIDTH, _HEIGHT)


@pytest.fixture(scope="module")
def decoded(planes: bytes) -> Picture:
    """As a video decoder converts the same planes."""
    frame = av.VideoFrame.from_ndarray(
        np.frombuffer(planes, np.uint8).reshape(_HEIGHT * 3 // 2, _WIDTH), format="yuv420p"
    )
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _apart(one: Picture, other: Picture) -> tuple[float, float]:
    """Grey levels: the mean difference, and the one that 99 % of the values stay below."""
    assert one.shape == other.shape
    difference = np.abs(one.astype(int) - other.astype(int))
    return float(difference.mean()), float(np.percentile(difference, 99))


def _grey(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _shrunk(picture: Picture, width: int, height: int) -> Picture:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def test_the_colours_are_those_of_a_video_decoder(i420: I420Pixels, decoded: Picture) -> None:
    mean, most = _apart(i420.part(0, 0, _WIDTH, _HEIGHT), decoded)
    assert mean < 1.5
    assert most <= 4


@pytest.mark.parametrize("size", [(320, 222), (384, 266), (533, 369), (161, 111), (640, 444)])
def test_a_smaller_picture_is_what_shrinking_the_converted_one_gives(
    i420: I420Pixels, decoded: Picture, size: tuple[int, int]
) -> None:
    scaled = i420.scaled(Region.whole(_WIDTH, _HEIGHT), *size)
    assert scaled.shape == (size[1], size[0], 3)
    expected = _shrunk(decoded, *size)
    mean, most = _apart(_grey(scaled), _grey(expected))
    assert mean < 2
    assert most < 12
    mean, _ = _apart(scaled, expected)
    assert mean < 5, "the colours of edges differ more, by where colour is sampled"


@pytest.mark.parametrize("region", [Region(100, 50, 400, 250), Region(101, 51, 400, 251), Region(0, 0, 33, 17)])
def test_a_region_is_shrunk_alone(i420: I420Pixels, decoded: Picture, region: Region) -> None:
    size = max(1, region.width // 2), max(1, region.height // 2)
    part = decoded[region.top : region.bottom, region.left : region.right]
    mean, _ = _apart(i420.scaled(region, *size), _shrunk(part, *size))
    assert mean < 4


@pytest.mark.parametrize(
    "box",
    [(0, 0, 640, 444), (10, 20, 110, 140), (11, 21, 110, 141), (12, 21, 13, 22), (639, 443, 640, 444)],
)
def test_a_part_is_the_same_as_that_of_the_whole(
    i420: I420Pixels, planes: bytes, box: tuple[int, int, int, int]
) -> None:
    rows = np.frombuffer(planes, np.uint8).reshape(_HEIGHT * 3 // 2, _WIDTH)
    whole = np.asarray(cv2.cvtColor(rows, cv2.COLOR_YUV2BGR_I420))
    left, top, right, bottom = box
    assert np.array_equal(i420.part(*box), whole[top:bottom, left:right])


def test_outside_of_the_picture_it_is_black(i420: I420Pixels, picture: Picture) -> None:
    for pixels in (i420, BgrPixels(picture)):
        over = pixels.part(-7, -5, 20, 30)
        assert over.shape == (35, 27, 3)
        assert not over[:5].any()
        assert not over[:, :7].any()
        assert np.array_equal(over[5:, 7:], pixels.part(0, 0, 20, 30))
        beyond = pixels.part(_WIDTH - 3, _HEIGHT - 2, _WIDTH + 4, _HEIGHT + 4)
        assert beyond[:2, :3].any()
        assert not beyond[2:].any()
        assert not beyond[:, 3:].any()
        for box in ((-50, 0, -10, 20), (_WIDTH + 1, 5, _WIDTH + 9, 9), (0, _HEIGHT, 8, _HEIGHT + 8)):
            away = pixels.part(*box)
            assert away.shape == (box[3] - box[1], box[2] - box[0], 3)
            assert not away.any()


def test_a_converted_picture_is_cut_and_shrunk_as_it_is(picture: Picture) -> None:
    pixels = BgrPixels(picture)
    assert (pixels.width, pixels.height) == (_WIDTH, _HEIGHT)
    whole = Region.whole(_WIDTH, _HEIGHT)
    assert np.array_equal(pixels.scaled(whole, _WIDTH, _HEIGHT), picture)
    assert np.array_equal(pixels.scaled(whole, 320, 222), cv2.resize(picture, (320, 222)))
    assert np.array_equal(pixels.part(5, 6, 50, 60), picture[6:60, 5:50])


@pytest.mark.parametrize(
    ("width", "height", "length"), [(639, 444, 640 * 666), (640, 443, 640 * 666), (640, 444, 640 * 666 - 1), (0, 0, 0)]
)
def test_planes_that_do_not_fit_are_refused(planes: bytes, width: int, height: int, length: int) -> None:
    with pytest.raises(Rejected):
        I420Pixels(memoryview(planes)[:length], width, height)


def test_jpeg_and_raw_bytes_become_pixels(picture: Picture) -> None:
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    for pixels in (from_jpeg(jpeg), from_raw(_WIDTH, _HEIGHT, picture.tobytes())):
        assert (pixels.width, pixels.height) == (_WIDTH, _HEIGHT)
    with pytest.raises(Rejected):
        from_jpeg(jpeg[:500])
    with pytest.raises(Rejected):
        from_raw(_WIDTH, _HEIGHT, b"short")


def test_a_repr_shows_the_size_only(i420: I420Pixels, picture: Picture) -> None:
    shown: list[Pixels] = [i420, BgrPixels(picture)]
    assert [repr(pixels) for pixels in shown] == ["I420Pixels(640x444)", "BgrPixels(640x444)"]
