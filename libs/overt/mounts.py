"""Which file system a path is on, as the kernel tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    filesystem: str
    """The type, as the kernel calls it; "unknown" where it does not tell."""
    options: frozenset[str] = frozenset()
    """Of the file system itself, not of the place where it is mounted."""


UNKNOWN = Mount("unknown")


def mount_of(path: Path, *, mountinfo: Path = MOUNTINFO) -> Mount:
    """The mount that holds `path`, links followed: the deepest, of equals the latest. Never raises."""
    try:
        return _deepest(path.resolve(), mountinfo.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, RuntimeError, ValueError, IndexError):
        return UNKNOWN


def _deepest(path: Path, mountinfo: str) -> Mount:
    best, depth = UNKNOWN, 0
    for line in mountinfo.splitlines():
        # proc_pid_mountinfo(5): id parent major:minor root MOUNT options [tags...] - TYPE source SUPER-OPTIONS
        fields, separator, tail = line.partition(" - ")
        if not separator:
            continue
        point = Path(_unescaped(fields.split(" ")[4]))
        if (path == point or point in path.parents) and len(point.parts) >= depth:
            filesystem, _source, options = tail.split(" ", 2)
            best, depth = Mount(filesystem, frozenset(options.split(","))), len(point.parts)
    return best


def _unescaped(field: str) -> str:
    """Space, tab, newline and backslash are written as octal there."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
