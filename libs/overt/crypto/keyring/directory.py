"""The keyring's directory: durable writes, one atomic switch, wiping, and the lock. Knows no cryptography.

    lock       held by the one process that uses the directory
    kek-N      the key-encryption key, 32 bytes
    ring-N     the wrapped keys
    current    which kek and which ring are in force

A change writes new files beside the old ones, makes them durable, and then replaces `current`: that one rename
is the switch. Every file that `current` does not name is a leftover, of before the switch or of after it, and
is wiped. So a crash at any step leaves the state of before or the state of after, and nothing in between.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from overt.errors import Fatal

_OURS = re.compile(r"(?:kek|ring)-([1-9][0-9]*)|current\.new")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Current:
    """The generation of the key-encryption key, and of the ring that it wraps."""

    kek: int
    ring: int

    @property
    def kek_name(self) -> str:
        return f"kek-{self.kek}"

    @property
    def ring_name(self) -> str:
        return f"ring-{self.ring}"


FIRST = Current(kek=1, ring=1)


class KeyringDirectory:
    """Owns the directory while it is open: mode 0700, files 0600, locked. Fatal when it cannot be had."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make(path)
            self._tighten()
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self.unusable(error) from None
        try:
            self._lock = self._locked()
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Idempotent. The lock goes with it."""
        for descriptor in (self._lock, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._descriptor = -1

    def current(self) -> Current | None:
        """What is in force; None in a directory that never had a keyring. Fatal if `current` is damaged, or is
        lost while there are keys: nothing is touched then, because wiping would be for good."""
        try:
            document = json.loads((self.path / "current").read_bytes())
            return Current(kek=int(document["kek"]), ring=int(document["ring"]))
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError):
            raise self.damaged("current", "it does not parse") from None
        except OSError as error:
            raise self.unusable(error) from None
        # The first generation is empty: without `current` it is a first start that was cut short.
        if any(int(match[1]) > 1 for name in self._names() if (match := _OURS.fullmatch(name)) and match[1]):
            raise self.damaged("current", "it is missing, and there are keys")
        return None

    def read(self, name: str) -> bytes:
        """A file's bytes; Fatal if it is not there."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise self.damaged(name, os.strerror(error.errno or 0)) from None

    def write_new(self, name: str, data: bytes) -> None:
        """Writes a file that is not there yet; its bytes are on the medium when this returns. OSError."""
        descriptor = os.open(name, _NEW, 0o600, dir_fd=self._descriptor)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def stage(self, to: Current) -> None:
        """The last step before the switch to `to`, whose files must have been written. OSError."""
        self.sync()
        self.write_new("current.new", json.dumps({"kek": to.kek, "ring": to.ring}).encode("ascii"))

    def switch(self) -> None:
        """Puts in force what was staged, atomically and durably. After an OSError nobody knows which is."""
        os.replace("current.new", "current", src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        # Until this returns a power cut may bring the old state back; only then may the old files go.
        self.sync()

    def wipe_all_but(self, current: Current | None) -> None:
        """Overwrites every leftover with random bytes, then unlinks it. OSError: some may be left."""
        kept = (current.kek_name, current.ring_name) if current else ()
        leftovers = sorted(name for name in self._names() if _OURS.fullmatch(name) and name not in kept)
        for name in leftovers:
            self._overwrite(name)
            os.unlink(name, dir_fd=self._descriptor)
        if leftovers:
            self.sync()

    def sync(self) -> None:
        """Makes creations, renames and unlinks durable."""
        os.fsync(self._descriptor)

    def damaged(self, name: str, how: str) -> Fatal:
        return Fatal(
            f"the keyring in {self.path} is damaged: {name}: {how}. Nothing was changed. There is no copy to restore "
            "from: keys are in no backup. Move the directory away to start without these keys; "
            "what was sealed under them is lost."
        )

    def _overwrite(self, name: str) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._descriptor)
        try:
            _write_all(descriptor, os.urandom(os.fstat(descriptor).st_size))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _names(self) -> list[str]:
        return os.listdir(self._descriptor)

    def _tighten(self) -> None:
        if stat.S_IMODE(self.path.stat().st_mode) & 0o077 == 0:
            return
        if foreign := [n for n in os.listdir(self.path) if n not in ("lock", "current") and not _OURS.fullmatch(n)]:
            # Somebody else's directory, say /tmp: closing it to everyone would break what is not ours.
            raise Fatal(
                f"the keyring's directory {self.path} is open to others and holds other things "
                f"({sorted(foreign)[0]!r}): give it one of its own"
            )
        self.path.chmod(0o700)

    def _locked(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open("lock", flags, 0o600, dir_fd=self._descriptor)
        except OSError as error:
            raise self.unusable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
            return descriptor
        except BaseException as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise Fatal(
                    f"the keyring in {self.path} is in use by process {holder}: one process may use it. "
                    "Stop that one, or give this one its own OVERT_DATA_DIR"
                ) from None
            if isinstance(error, OSError):
                raise self.unusable(error) from None
            raise

    def unusable(self, error: OSError) -> Fatal:
        return Fatal(
            f"the keyring's directory {self.path} cannot be used: {os.strerror(error.errno or 0)}. Give a directory "
            f"that user {os.geteuid()} owns and can write to (OVERT_DATA_DIR)"
        )


def _make(path: Path) -> None:
    """The directory and those above it, so that a power cut takes none of them away again."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for directory in missing:
        descriptor = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
