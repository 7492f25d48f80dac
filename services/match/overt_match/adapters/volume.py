"""The directory that the engine insists on: memory-backed, private, and empty whenever nothing is being built."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overt.errors import Fatal, Retryable
from overt.mounts import mount_of

MEMORY_BACKED = frozenset({"tmpfs", "ramfs"})
_PREFIX = "match-"


DEFAULT_PLACE = Path("/dev/shm")  # noqa: S108 - what is made there is private, and checked to be


class IndexVolume:
    """This process's own directory on `place`, locked as long as it lives.

    `place` is shared memory or a mounted volume, whoever it belongs to: all is kept in a directory of this user's
    below it, closed to others. What processes that are gone left there is removed; they are told by their lock,
    which the kernel drops however a process ends, in whatever PID namespace it ran.
    """

    def __init__(self, place: Path) -> None:
        """Fatal, with what to do, unless `place` is memory-backed and a private directory can be had on it."""
        base = place / f"overt-match-{os.getuid()}"
        _make_private(base)
        kind = mount_of(base).filesystem
        if kind not in MEMORY_BACKED:
            with contextlib.suppress(OSError):
                base.rmdir()
            raise Fatal(
                f"OVERT_INDEX_DIR must be on memory-backed storage: {place} is on {kind}. Point it to a tmpfs or "
                "ramfs, /dev/shm for example; in Kubernetes to an emptyDir with medium: Memory."
            )
        _remove_leftovers(base)
        self.path, self._lock = _claim(base)

    @contextmanager
    def scratch(self, needs_bytes: int) -> Iterator[Path]:
        """A fresh directory, gone with all its names when the block ends. Retryable if the room is short: a
        full tmpfs would kill the process (SIGBUS) in the middle of a write."""
        free = os.statvfs(self.path)
        if free.f_bavail * free.f_frsize < needs_bytes:
            raise Retryable(f"OVERT_INDEX_DIR is too small: the list needs {needs_bytes >> 20} MB more than is free")
        directory = Path(tempfile.mkdtemp(dir=self.path))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        """Removes the directory. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _make_private(base: Path) -> None:
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = base.lstat()
    except OSError as fault:
        raise Fatal(f"OVERT_INDEX_DIR: cannot make {base}: {fault.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Fatal(
            f"OVERT_INDEX_DIR: {base} must be a directory of this user and closed to others (mode 0700). "
            "Remove it, or name another one."
        )


def _lock(directory: Path) -> int | None:
    """Its descriptor, locked; None if somebody else's or gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have taken it for a leftover between its making and our lock.
        if os.fstat(descriptor).st_ino == directory.stat().st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove_leftovers(base: Path) -> None:
    for child in base.glob(_PREFIX + "*"):
        descriptor = _lock(child)
        if descriptor is not None:
            shutil.rmtree(child, ignore_errors=True)
            os.close(descriptor)


def _claim(base: Path) -> tuple[Path, int]:
    for _ in range(10):
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        descriptor = _lock(path)
        if descriptor is not None:
            return path, descriptor
    raise Fatal(f"OVERT_INDEX_DIR: {base} is being cleaned by somebody else; start again")
