"""Between protobuf fields and what the code works with: times, durations, templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from overt.errors import Rejected
from overt.reasons import Reason

MAX_TEMPLATE_LENGTH = 2048
NORM_TOLERANCE = 1e-3
"""float32 rounding of a 512-vector's norm stays below 1e-6; a vector further off was never normalised."""

_LITTLE_FLOAT = np.dtype("<f4")


def to_timestamp(moment: datetime) -> Timestamp:
    """ValueError for a datetime without a time zone: that is a defect of the caller."""
    if moment.tzinfo is None:
        raise ValueError("a datetime needs a time zone")
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def from_timestamp(timestamp: Timestamp) -> datetime:
    """Aware, UTC, whole microseconds. Unset (the zero value) or out of range: Rejected(BAD_MESSAGE)."""
    if moment := optional_from_timestamp(timestamp):
        return moment
    raise Rejected(Reason.BAD_MESSAGE, "a time is missing")


def optional_from_timestamp(timestamp: Timestamp) -> datetime | None:
    """The same, and None when it is unset."""
    if timestamp.seconds == 0 and timestamp.nanos == 0:
        return None
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Rejected(Reason.BAD_MESSAGE, "a time is out of range") from None


def to_duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def from_duration(duration: Duration) -> timedelta:
    """Whole microseconds; Rejected(BAD_MESSAGE) when out of range."""
    # google/protobuf/duration.proto: nanos below a second and of the sign of seconds. `ToTimedelta` takes any.
    if abs(duration.nanos) >= 1_000_000_000 or duration.seconds * duration.nanos < 0:
        raise Rejected(Reason.BAD_MESSAGE, "a duration is out of range")
    try:
        return duration.ToTimedelta()
    except (ValueError, OverflowError):
        raise Rejected(Reason.BAD_MESSAGE, "a duration is out of range") from None


def template_to_bytes(template: NDArray[np.float32]) -> bytes:
    """Little-endian float32, `4 * len(template)` bytes. ValueError unless it is one finite unit vector."""
    if template.ndim != 1 or not _is_unit(template):
        raise ValueError("a template is one finite vector of unit length")
    return template.astype(_LITTLE_FLOAT, copy=False).tobytes()


def template_from_bytes(data: bytes, *, length: int | None = None) -> NDArray[np.float32]:
    """A read-only float32 vector of `length` (any up to 2048 if None) over `data`, which lives as long as it.

    Rejected(BAD_MESSAGE) unless the length fits and it is finite and of unit length within 1e-3.
    """
    size = len(data) // _LITTLE_FLOAT.itemsize
    if len(data) % _LITTLE_FLOAT.itemsize or not 0 < size <= MAX_TEMPLATE_LENGTH or length not in (None, size):
        raise Rejected(Reason.BAD_MESSAGE, "a template has the wrong length")
    template = np.frombuffer(data, dtype=_LITTLE_FLOAT).astype(np.float32, copy=False)
    if not _is_unit(template):
        raise Rejected(Reason.BAD_MESSAGE, "a template is not a finite vector of unit length")
    return template


def _is_unit(template: NDArray[np.float32]) -> bool:
    # A NaN or infinity anywhere makes the norm one of them, and the comparison false.
    return bool(abs(np.linalg.norm(template.astype(np.float64)) - 1.0) <= NORM_TOLERANCE)
