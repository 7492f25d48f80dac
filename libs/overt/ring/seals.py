"""Memory without a name that nobody can resize and only its maker can write (memfd_create(2), fcntl(2))."""

from __future__ import annotations

import fcntl
import mmap
import os

# Linux, linux/memfd.h and linux/fcntl.h; Python 3.11 does not name them.
_MFD_NOEXEC_SEAL = 0x0008
_F_SEAL_FUTURE_WRITE = 0x0010

_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def make_sealed(size: int) -> tuple[int, mmap.mmap]:
    """A descriptor to hand out, and the one mapping through which `size` bytes can ever be written. OSError."""
    descriptor = _create()
    try:
        os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    except BaseException:
        os.close(descriptor)
        raise
    try:
        # After our mapping, which stays writable; the descriptor can neither be written nor be mapped so again.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SIZE | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)
        _keep_private(memory)
    except BaseException:
        memory.close()
        os.close(descriptor)
        raise
    return descriptor, memory


def map_sealed(descriptor: int, *, most_bytes: int) -> mmap.mmap:
    """What another process made, read only. ValueError for anything else: of a file that can be cut short, reading
    would kill us (SIGBUS). OSError."""
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0  # a file, a pipe, a socket
    size = os.fstat(descriptor).st_size
    if seals & _SIZE != _SIZE or not 0 < size <= most_bytes:
        raise ValueError("this is no sealed memory of a size that is taken")
    memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
    _keep_private(memory)
    return memory


def _create() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("overt-ring", flags | _MFD_NOEXEC_SEAL)
    except OSError:
        return os.memfd_create("overt-ring", flags)  # before Linux 6.3


def _keep_private(memory: mmap.mmap) -> None:
    """In no core dump, where even deleted shared memory is written by default, and in no forked child."""
    memory.madvise(mmap.MADV_DONTDUMP)
    memory.madvise(mmap.MADV_DONTFORK)
