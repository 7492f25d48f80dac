"""Pictures from bytes, also from hostile ones."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.errors import Rejected
from overt.reasons import Reason
from overt_detect.adapters.pictures import decode_jpeg, decode_reference, encode_reference, take_raw

pytestmark = pytest.mark.unit

_PICTURE = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (96, 128, 3)).astype(np.uint8), (0, 0), 3)
_JPEG = simplejpeg.encode_jpeg(_PICTURE, 90, "BGR", "420")
_PNG = cv2.imencode(".png", _PICTURE)[1].tobytes()


def _claiming(width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    at = _JPEG.index(b"\xff\xc0")
    return _JPEG[: at + 5] + struct.pack(">HH", height, width) + _JPEG[at + 9 :]


def _png_claiming(width: int, height: int) -> bytes:
    return _PNG[:16] + struct.pack(">II", width, height) + _PNG[24:]


def test_a_jpeg_is_decoded_to_blue_green_red() -> None:
    found = decode_jpeg(_JPEG)
    assert found.shape == (96, 128, 3)
    assert np.abs(found.astype(int) - _PICTURE).mean() < 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_A_JPEG),
        (b"GET / HTTP/1.1", Reason.NOT_A_JPEG),
        (_PNG, Reason.NOT_A_JPEG),
        (b"\xff\xd8" + b"garbage" * 100, Reason.NOT_A_JPEG),
        (_JPEG[:2], Reason.TRUNCATED),
        (_JPEG[: len(_JPEG) // 2], Reason.TRUNCATED),
        (_JPEG[:-2], Reason.TRUNCATED),
        (_JPEG[:-2] + b"\xff\xda" * 1000 + b"\xff\xd9", Reason.NOT_A_JPEG),
        (_claiming(1, 1), Reason.PICTURE_TOO_SMALL),
        (_claiming(63, 400), Reason.PICTURE_TOO_SMALL),
        (_claiming(0, 0), Reason.PICTURE_TOO_SMALL),
        (_claiming(20_000, 20_000), Reason.PICTURE_TOO_LARGE),
        (_claiming(4097, 64), Reason.PICTURE_TOO_LARGE),
    ],
)
def test_what_is_no_usable_jpeg_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        decode_jpeg(data)
    assert refused.value.reason is reason


def test_a_jpeg_cut_anywhere_is_truncated() -> None:
    for length in range(2, len(_JPEG), 7):
        with pytest.raises(Rejected) as refused:
            decode_jpeg(_JPEG[:length])
        assert refused.value.reason is Reason.TRUNCATED, length


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(2, len(_JPEG) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_a_rejection_or_a_picture_never_anything_else(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(_JPEG)
    for at, value in changes:
        damaged[at] = value
    for decode in (decode_jpeg, decode_reference):
        try:
            assert decode(bytes(damaged)).ndim == 3
        except Rejected:
            pass


def test_a_grey_and_a_progressive_jpeg_are_taken() -> None:
    grey = cv2.imencode(".jpg", _PICTURE[:, :, 0])[1].tobytes()
    progressive = cv2.imencode(".jpg", _PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode_jpeg(grey).shape == decode_jpeg(progressive).shape == (96, 128, 3)


def test_a_raw_picture_must_fill_its_size() -> None:
    assert np.array_equal(take_raw(128, 96, _PICTURE.tobytes()), _PICTURE)
    for width, height, data, reason in (
        (128, 96, _PICTURE.tobytes()[:-1], Reason.NOT_A_PICTURE),
        (96, 129, _PICTURE.tobytes(), Reason.NOT_A_PICTURE),
        (1, 1, b"abc", Reason.PICTURE_TOO_SMALL),
        (1 << 31, 1 << 31, b"", Reason.PICTURE_TOO_LARGE),
    ):
        with pytest.raises(Rejected) as refused:
            take_raw(width, height, data)
        assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_A_PICTURE),
        (b"GIF89a" + bytes(200), Reason.NOT_A_PICTURE),
        (_PNG[:-12], Reason.TRUNCATED),
        (_PNG[:20], Reason.TRUNCATED),
        (_PNG[:8], Reason.TRUNCATED),
        (_png_claiming(50_000, 50_000), Reason.PICTURE_TOO_LARGE),
        (_png_claiming(8, 8), Reason.PICTURE_TOO_SMALL),
        (_claiming(20_000, 20_000), Reason.PICTURE_TOO_LARGE),
        (_JPEG[:-40], Reason.TRUNCATED),
        (_PNG + bytes(9 << 20), Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_no_usable_reference_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        decode_reference(data)
    assert refused.value.reason is reason


def test_a_reference_may_be_a_png_and_is_turned_upright() -> None:
    assert np.array_equal(decode_reference(_PNG), _PICTURE)
    # EXIF with one field: orientation 6, held a quarter turn to the left.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    held = _JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + _JPEG[2:]
    assert decode_jpeg(held).shape == (96, 128, 3)
    assert decode_reference(held).shape == (128, 96, 3)


def test_the_reference_shown_to_people_is_small_and_without_metadata() -> None:
    large = cv2.resize(_PICTURE, (1000, 750))
    data = encode_reference(large)
    assert decode_jpeg(data).shape == (240, 320, 3)
    assert b"Exif" not in data
    assert decode_jpeg(encode_reference(_PICTURE)).shape == _PICTURE.shape, "never made larger"
