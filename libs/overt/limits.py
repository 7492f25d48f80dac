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

MAX_COHORT_BYTES: Final = 16 * 1024 * 1024
"""A cohort file put in force for a deployment, and what it unpacks to: some 30,000 templates of 128 numbers. A cohort
of 1,000 is half a megabyte."""

MAX_FOOTFALL: Final = 1_000_000
"""Passers-by of a forecast: thirty times the busiest day in practice. Its interval takes memory in proportion."""
