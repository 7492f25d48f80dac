"""The bounds of a picture from outside, whoever takes it: checked before anything is decoded."""

from __future__ import annotations

from typing import Final

from overt.errors import Rejected
from overt.reasons import Reason

SHORTEST_SIDE_PX: Final = 64
LONGEST_SIDE_PX: Final = 4096
MOST_BYTES: Final = 8 * 1024 * 1024
"""As it travels: a JPEG, or raw (1080p has 6.2 MB)."""

SHEET_PX: Final = (992, 640)
"""Width and height of what ingest asks detect about besides frames: an alert's pictures on one sheet. Detect makes
itself ready for it when it starts, or an alert would wait for that."""


def check_size(width: int, height: int) -> None:
    """Rejected for sides out of bounds."""
    if min(width, height) < SHORTEST_SIDE_PX:
        raise Rejected(Reason.PICTURE_TOO_SMALL, f"each side has at least {SHORTEST_SIDE_PX} pixels")
    if max(width, height) > LONGEST_SIDE_PX:
        raise Rejected(Reason.PICTURE_TOO_LARGE, f"each side has at most {LONGEST_SIDE_PX} pixels")
