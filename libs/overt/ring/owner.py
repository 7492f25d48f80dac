"""The owner's side of a ring: slots are leased, written, and overwritten before anybody gets them again."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

import numpy as np

from overt.ring.layout import PAGE, Layout
from overt.ring.seals import make_sealed


class Ring:
    """Shared memory of `slots` pictures of at most `slot_bytes`. Owns the memory and its descriptor.

    All methods are for one thread; a lease's `view` may be written from another one, as long as its lease is not
    ended meanwhile. Memory that was never leased costs nothing: the free slot with the lowest index is leased first.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        """ValueError for a shape out of bounds; OSError when the system gives no such memory (Linux before 5.1)."""
        self.id = secrets.token_hex(16)
        self.slot_bytes = slot_bytes
        self._layout = Layout(slots, slot_bytes)
        self._descriptor, self._memory = make_sealed(self._layout.total_bytes)
        head = self._layout.head()
        self._memory[: len(head)] = head
        self._generations = memoryview(self._memory)[:PAGE].cast("Q")
        self._free = set(range(slots))
        self._leased: set[Lease] = set()
        self._quarantined: set[int] = set()
        self._last_generation = 0
        self._closed = False

    @property
    def descriptor(self) -> int:
        """To be handed to a reader: it can be mapped read-only, neither written nor resized. -1 once closed."""
        return self._descriptor

    def lease(self) -> Lease | None:
        """None when every slot is leased or quarantined, or the ring is closed."""
        if self._closed or not self._free:
            return None
        index = min(self._free)
        self._free.remove(index)
        self._last_generation += 1
        self._generations[self._layout.generation_of(index)] = self._last_generation
        start = self._layout.start_of(index)
        view = memoryview(self._memory)[start : start + self.slot_bytes]
        lease = Lease(self, index, self._last_generation, view)
        self._leased.add(lease)
        return lease

    def reclaim(self) -> None:
        """Quarantined slots are free again: call it when no reader can be reading any more."""
        self._free |= self._quarantined
        self._quarantined.clear()

    def close(self) -> None:
        """Overwrites everything that was written and closes the descriptor. Idempotent.

        What is leased at this moment is overwritten now and, as somebody may be writing, once more when its lease
        ends; the memory is unmapped with the last one.
        """
        if self._closed:
            return
        self._closed = True
        for lease in self._leased:
            self._overwrite(lease.index)
        os.close(self._descriptor)
        self._descriptor = -1
        self._unmap_if_unused()

    def _end(self, lease: Lease, *, free: bool) -> None:
        if lease not in self._leased:
            return
        self._leased.remove(lease)
        self._overwrite(lease.index)
        with suppress(BufferError):  # somebody holds an array over it: it shows zeros from now on
            lease.view.release()
        (self._free if free else self._quarantined).add(lease.index)
        self._unmap_if_unused()

    def _overwrite(self, index: int) -> None:
        """Its generation first: a reader that sees any of the zeros sees that the slot is no longer what it was."""
        self._generations[self._layout.generation_of(index)] = 0
        # 0.03 ms for 1080p while it is in the cache, 0.3 for 4K; a slice assignment takes twice as long.
        np.frombuffer(self._memory, np.uint8, self.slot_bytes, self._layout.start_of(index)).fill(0)

    def _unmap_if_unused(self) -> None:
        if self._closed and not self._leased:
            self._generations.release()
            with suppress(BufferError):  # unmapped with the last array over it
                self._memory.close()

    def __repr__(self) -> str:
        return f"Ring({self._layout.slots} slots of {self.slot_bytes} bytes, {len(self._leased)} leased)"


class Lease:
    """The right to one slot. `view` is writable, `slot_bytes` long, and not to be touched once the lease has ended.

    Ends with `release` or `quarantine`, whichever comes first; either way the slot is overwritten at once, so that
    its picture is gone when the frame's owner says so, and a reader learns from the generation.
    """

    __slots__ = ("_ring", "generation", "index", "view")

    def __init__(self, ring: Ring, index: int, generation: int, view: memoryview) -> None:
        self._ring = ring
        self.index = index
        self.generation = generation
        self.view = view

    def release(self) -> None:
        """The reader has answered: the slot is free."""
        self._ring._end(self, free=True)

    def quarantine(self) -> None:
        """The reader may still be reading: no other picture enters the slot before `Ring.reclaim`."""
        self._ring._end(self, free=False)

    def __repr__(self) -> str:
        return f"Lease(slot {self.index}, generation {self.generation})"
