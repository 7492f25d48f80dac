"""Limits that more than one service keeps."""

from __future__ import annotations

from typing import Final

MAX_PROBES: Final = 8
"""What one search takes. Ingest holds no more of a track; match refuses more."""

MAX_LIST_BYTES: Final = 1024 * 1024 * 1024
"""Pictures and templates of one list: the longest in use (17,000 people) with two references of 30 kB each just fits.
Match keeps it in memory, twice while it is replaced by its next revision, and refuses what would pass it. The object
store of a list is four times as large: a list is written anew before the old one is dropped, and what failed attempts
leave stays until the store goes."""
