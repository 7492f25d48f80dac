"""Pictures from bytes and back. The size is read from the header and bounded before anything is decoded."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import simplejpeg
from overt.errors import Rejected
from overt.pictures import MOST_BYTES, check_size
from overt.reasons import Reason

from overt_detect.ports import Picture

REFERENCE_SIDE = 320
_REFERENCE_QUALITY = 90
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 without DHT, JPG and DAC, ITU-T T.81 table B.1."""
_SCAN = 0xDA
_MOST_SCANS = 64
"""A progressive JPEG has about ten. Each costs a pass over the whole picture, and 8 MB hold a million of them."""
_PNG = b"\x89PNG\r\n\x1a\n"


def decode_jpeg(data: bytes) -> Picture:
    """Strict: Rejected for what is no JPEG, is cut off, is damaged, or has a side out of bounds."""
    _check_jpeg_header(data)
    try:
        picture = simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except ValueError as fault:
        raise _jpeg_fault(fault) from None
    return np.asarray(picture, dtype=np.uint8)


def take_raw(width: int, height: int, bgr: bytes) -> Picture:
    """A read-only view of the bytes, which live as long as it does."""
    check_size(width, height)
    if len(bgr) != width * height * 3:
        raise Rejected(
            Reason.NOT_A_PICTURE, f"{width} x {height} pixels take {width * height * 3} bytes, not {len(bgr)}"
        )
    return np.frombuffer(bgr, np.uint8).reshape(height, width, 3)


def decode_reference(data: bytes) -> Picture:
    """JPEG or PNG, turned upright if it says how it was held."""
    if len(data) > MOST_BYTES:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, "a reference picture has at most 8 MB")
    if data.startswith(_PNG):
        _check_png(data)
    elif data.startswith(b"\xff\xd8"):
        decode_jpeg(data)  # OpenCV would take a picture that is cut off
    else:
        raise Rejected(Reason.NOT_A_PICTURE, "a reference picture is a JPEG or a PNG")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise Rejected(Reason.NOT_A_PICTURE, "the picture cannot be decoded")
    return np.asarray(picture, dtype=np.uint8)


def encode_reference(picture: Picture) -> bytes:
    """JPEG without any metadata, its longer side at most REFERENCE_SIDE pixels."""
    scale = min(1.0, REFERENCE_SIDE / max(picture.shape[:2]))
    if scale < 1:
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), _REFERENCE_QUALITY, "BGR", "420"))


def _check_jpeg_header(data: bytes) -> None:
    """Walks the segments: the frame header, which has the size, and on to where the picture begins."""
    if not data.startswith(b"\xff\xd8"):
        raise Rejected(Reason.NOT_A_JPEG, "the picture is not a JPEG")
    if data.count(bytes((0xFF, _SCAN))) > _MOST_SCANS:
        raise Rejected(Reason.NOT_A_JPEG, f"the JPEG has more than {_MOST_SCANS} scans")
    at = 2
    while at + 9 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or length < 2:
            raise Rejected(Reason.NOT_A_JPEG, "the JPEG is damaged")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _SCAN:
            if at + 2 + length < len(data):
                return
            break
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            check_size(width, height)
        at += 2 + length
    raise Rejected(Reason.TRUNCATED, "the JPEG is cut off")


def _jpeg_fault(fault: ValueError) -> Rejected:
    # The only thing libjpeg tells apart is in its message; the message itself stays here.
    told = str(fault).lower()
    if "premature end" in told or "not enough data" in told:
        return Rejected(Reason.TRUNCATED, "the JPEG is cut off")
    return Rejected(Reason.NOT_A_JPEG, "the JPEG is damaged or of a kind that is not taken")


def _check_png(data: bytes) -> None:
    """Walks the chunks: a size in bounds at the head, and an end."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise Rejected(Reason.TRUNCATED, "the PNG is cut off")
    width, height = struct.unpack_from(">II", data, 16)
    check_size(width, height)
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + length
    raise Rejected(Reason.TRUNCATED, "the PNG is cut off")
