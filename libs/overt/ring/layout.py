"""How the memory of a ring is laid out: a page of headers, then the slots, each from a page's start.

The first header tells the shape, slot i has the header i + 1: its generation, 0 while nobody may read it. Headers are
64 bytes, a cache line each, and away from the data: overwriting a picture touches no generation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PAGE = 4096
HEADER_BYTES = 64
MOST_SLOTS = 16
MOST_SLOT_BYTES = 4096 * 4096 * 3 // 2
"""The largest picture that is taken, as I420: 25 MB."""

_SHAPE = struct.Struct("<8sQQ")
_MAGIC = b"OVRTRNG1"


@dataclass(frozen=True, slots=True)
class Layout:
    """ValueError for a shape that no ring has."""

    slots: int
    slot_bytes: int

    def __post_init__(self) -> None:
        if not (1 <= self.slots <= MOST_SLOTS and 1 <= self.slot_bytes <= MOST_SLOT_BYTES):
            raise ValueError(f"a ring has 1 to {MOST_SLOTS} slots of 1 to {MOST_SLOT_BYTES} bytes")

    @classmethod
    def read(cls, head: bytes) -> Layout:
        """From the first bytes of a ring; ValueError."""
        try:
            magic, slots, slot_bytes = _SHAPE.unpack_from(head)
        except struct.error:
            raise ValueError("this is no ring") from None
        if magic != _MAGIC:
            raise ValueError("this is no ring")
        return cls(slots, slot_bytes)

    def head(self) -> bytes:
        return _SHAPE.pack(_MAGIC, self.slots, self.slot_bytes)

    @property
    def total_bytes(self) -> int:
        return self.start_of(self.slots)

    def start_of(self, slot: int) -> int:
        """The offset of its data."""
        pages = -(-self.slot_bytes // PAGE)
        return PAGE + slot * pages * PAGE

    def generation_of(self, slot: int) -> int:
        """The place of its generation among the ring's 8-byte words."""
        return (slot + 1) * HEADER_BYTES // 8
