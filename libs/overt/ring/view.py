"""The reader's side of a ring: it can see pictures, and change nothing."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.ring.layout import MOST_SLOT_BYTES, MOST_SLOTS, PAGE, Layout
from overt.ring.seals import map_sealed
from overt.ring.wire import ID_BYTES, YES, peer_uid

_MOST_BYTES = Layout(MOST_SLOTS, MOST_SLOT_BYTES).total_bytes


class RingView:
    """Somebody else's ring, mapped. Safe from every thread; owns the mapping.

    Never crashes a reader: the memory cannot shrink (it is sealed), and it stays mapped as long as anything, even an
    array that outlived `slot`, shows it.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes no ownership of `descriptor`. Rejected(NO_RING) if it is none."""
        try:
            memory = map_sealed(descriptor, most_bytes=_MOST_BYTES)
            layout = Layout.read(memory[:PAGE])
            if layout.total_bytes != len(memory):
                raise ValueError("its size is not that of its shape")
        except (OSError, ValueError) as error:
            raise Rejected(Reason.NO_RING, f"this is no ring that can be read: {error}") from None
        self._layout = layout
        self._lock = threading.Lock()
        self._memory: mmap.mmap | None = memory
        self._readers = 0
        self._closed = False

    @classmethod
    def attach(cls, socket_path: Path, ring_id: str, timeout: float) -> Self:
        """Asks the door of the ring's owner. Blocks for at most `timeout` seconds. Rejected(NO_RING) if it has no
        such ring, or is not this user's; Retryable if it does not answer, or nobody listens."""
        until = time.monotonic() + timeout
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                descriptor = _ask(connection, socket_path, ring_id, until)
            except OSError as error:  # a timeout is one as well
                raise Retryable(f"the owner of the rings does not answer: {type(error).__name__}") from None
        try:
            return cls(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def slot(self, index: int, generation: int, size: int) -> Iterator[memoryview]:
        """The first `size` bytes of a slot, read-only, as long as the block lasts.

        Rejected(STALE_SLOT) if the slot does not have this generation when the block begins, or no longer when it
        ends, however it ends: then nothing that was made of it may be used. Rejected(BAD_MESSAGE) for a slot or size
        that the ring does not have; Rejected(NO_RING) once closed.
        """
        memory = self._begin()
        try:
            if not (0 <= index < self._layout.slots and 0 < size <= self._layout.slot_bytes):
                raise Rejected(Reason.BAD_MESSAGE, "the ring has no such slot")
            self._check(memory, index, generation)
            start = self._layout.start_of(index)
            with _shown(memory, start, size) as data:
                try:
                    yield data
                except Exception:
                    self._check(memory, index, generation)
                    raise
            self._check(memory, index, generation)
        finally:
            self._end()

    def close(self) -> None:
        """Unmaps, now or when the last reader is done. Idempotent."""
        with self._lock:
            self._closed = True
            self._unmap_if_unused()

    def _begin(self) -> mmap.mmap:
        with self._lock:
            if self._closed or self._memory is None:
                raise Rejected(Reason.NO_RING, "the ring is closed")
            self._readers += 1
            return self._memory

    def _end(self) -> None:
        with self._lock:
            self._readers -= 1
            self._unmap_if_unused()

    def _unmap_if_unused(self) -> None:
        if self._closed and not self._readers and self._memory is not None:
            memory, self._memory = self._memory, None
            with contextlib.suppress(BufferError):  # an array is left over it: unmapped with that
                memory.close()

    def _check(self, memory: mmap.mmap, index: int, generation: int) -> None:
        at = self._layout.generation_of(index) * 8
        if generation == 0 or int.from_bytes(memory[at : at + 8], sys.byteorder) != generation:
            raise Rejected(Reason.STALE_SLOT, "the slot holds another picture than this one")

    def __repr__(self) -> str:
        return f"RingView({self._layout.slots} slots of {self._layout.slot_bytes} bytes)"


@contextlib.contextmanager
def _shown(memory: mmap.mmap, start: int, size: int) -> Iterator[memoryview]:
    whole = memoryview(memory)
    data = whole[start : start + size]
    try:
        yield data
    finally:
        for view in (data, whole):
            with contextlib.suppress(BufferError):
                view.release()


def _ask(connection: socket.socket, path: Path, ring_id: str, until: float) -> int:
    """The descriptor. TimeoutError and other OSErrors; Rejected(NO_RING) for a plain no."""
    if len(ring_id) != ID_BYTES or not ring_id.isascii() or not ring_id.isalnum():
        raise Rejected(Reason.NO_RING, "this is no ring's id")
    connection.settimeout(_left(until))
    connection.connect(os.fspath(path))
    if peer_uid(connection) != os.geteuid():
        raise Rejected(Reason.NO_RING, "the door belongs to another user")
    connection.settimeout(_left(until))
    connection.sendall(ring_id.encode() + b"\n")
    connection.settimeout(_left(until))
    answer, descriptors, _, _ = socket.recv_fds(connection, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if not answer:
        raise ConnectionAbortedError
    if answer != YES or len(descriptors) != 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise Rejected(Reason.NO_RING, "the owner has no such ring")
    return descriptors[0]


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
