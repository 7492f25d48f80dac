"""What is refused at the door for its time and place, whatever it shows."""

from __future__ import annotations

from datetime import datetime, timedelta

from overt.reasons import Reason

MOST_SKEW = timedelta(seconds=10)
"""More than any network's delay and any sane clock's error; less than a recording played back."""


def check_time_and_order(
    *, captured_at: datetime | None, now: datetime, sequence: int, last_sequence: int | None
) -> Reason | None:
    """Why a frame is refused for its clock or its place, or None."""
    if captured_at is None or abs(now - captured_at) > MOST_SKEW:
        return Reason.CLOCK
    if last_sequence is not None and sequence <= last_sequence:
        return Reason.SEQUENCE
    return None
