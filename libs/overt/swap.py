"""Whether memory may be written to a disk behind our back."""

from __future__ import annotations

from pathlib import Path

SWAPS = Path("/proc/swaps")


def swap_is_on(swaps: Path = SWAPS) -> bool:
    """On this host; True as well where that cannot be known. A container without swap of its own cannot see that."""
    try:
        return len(swaps.read_text().splitlines()) > 1  # the first line is the heading
    except OSError:
        return True
