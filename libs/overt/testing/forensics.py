"""Looks for what must not be there: pictures, pixels and templates, in files of any format.

Three detectors, each of which a test first shows to find a planted specimen:
pictures by their format (a JPEG or PNG that a decoder would take), pixels by runs of bytes that the test knows it
sent, templates by what every template is: 128 finite float32 in a row whose squares sum to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TEMPLATE_LENGTH = 128
_UNIT_TOLERANCE = 1e-3
_LARGEST_COMPONENT = 0.7  # of a real template the largest seen is about 0.35
_FEWEST_DISTINCT = 100  # a run of zeros and one 1.0 also has unit length, and is no template

# SOI, then APPn, DQT, SOF, DHT or COM with a plausible length: a bare FF D8 FF is in any large random file.
_JPEG = re.compile(rb"\xff\xd8\xff[\xc0\xc2\xc4\xdb\xe0-\xef\xfe]\x00[\x04-\xff]")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be where it is. Says where, never what."""

    path: Path
    what: str
    offset: int


def scan(folders: Iterable[Path], *, pixels: Sequence[bytes] = ()) -> list[Finding]:
    """Every finding in every readable regular file below the folders. `pixels`: runs of at least 24 bytes."""
    return [
        Finding(path, what, offset)
        for path in _files(folders)
        for what, offset in scan_bytes(_content(path), pixels=pixels)
    ]


def scan_bytes(data: bytes, *, pixels: Sequence[bytes] = ()) -> Iterator[tuple[str, int]]:
    """(what, offset) of the first of each kind in a blob."""
    if found := _JPEG.search(data):
        yield "jpeg", found.start()
    if (at := data.find(_PNG)) >= 0:
        yield "png", at
    for run in pixels:
        if (at := data.find(run)) >= 0:
            yield "pixels", at
            break
    if (start := find_template(data)) is not None:
        yield "template", start


def find_template(data: bytes) -> int | None:
    """Offset of the first run of 128 little-endian float32 of unit length, at any alignment; None if none."""
    for shift in range(4):
        count = (len(data) - shift) // 4
        if count < TEMPLATE_LENGTH:
            continue
        with np.errstate(invalid="ignore"):  # any bytes may look like a signalling NaN
            values = np.frombuffer(data, "<f4", count, shift).astype(np.float64)
        usable = np.isfinite(values) & (np.abs(values) <= _LARGEST_COMPONENT)
        squares = np.where(usable, values, 0.0) ** 2
        sums = np.concatenate(([0.0], np.cumsum(squares)))
        good = np.concatenate(([0], np.cumsum(usable)))
        length = sums[TEMPLATE_LENGTH:] - sums[:-TEMPLATE_LENGTH]
        whole = good[TEMPLATE_LENGTH:] - good[:-TEMPLATE_LENGTH] == TEMPLATE_LENGTH
        for start in np.flatnonzero(whole & (np.abs(length - 1.0) < _UNIT_TOLERANCE)):
            if np.unique(values[start : start + TEMPLATE_LENGTH]).size >= _FEWEST_DISTINCT:
                return int(start) * 4 + shift
    return None


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
