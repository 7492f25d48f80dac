"""How much of what a source has sent still lies unread in the kernel, and how old that is.

A pulled frame's capture is when its reader takes it from the socket. A reader that falls behind would look punctual:
the delay would be in front of its own clock. The bench is the source, so it can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _QUEUES = 1, 2, 4
"""Columns of the table, see proc(5): addresses as HEX:PORT, then tx_queue:rx_queue."""


def queued(pairs: Sequence[tuple[int, int]], table: str | None = None) -> dict[tuple[int, int], int]:
    """Bytes between each (server's port, reader's port) that the reader has not taken: what the server's kernel has
    not sent and what the reader's holds. Connections that are gone are left out."""
    wanted = {f"{port:04X}": place for place, pair in enumerate(pairs) for port in pair[1:]}
    found: dict[tuple[int, int], int] = {}
    for line in (_TABLE.read_text() if table is None else table).splitlines()[1:]:
        columns = line.split()
        local, remote = columns[_LOCAL].rpartition(":")[2], columns[_REMOTE].rpartition(":")[2]
        waits_to_go, waits_to_be_read = (int(number, 16) for number in columns[_QUEUES].split(":"))
        if remote in wanted and int(local, 16) == pairs[wanted[remote]][0]:
            place, waiting = wanted[remote], waits_to_go
        elif local in wanted and int(remote, 16) == pairs[wanted[local]][0]:
            place, waiting = wanted[local], waits_to_be_read
        else:
            continue
        found[pairs[place]] = found.get(pairs[place], 0) + waiting
    return found


def age_ms(written: Sequence[tuple[int, float]], unread: int, now: float) -> float:
    """How long the oldest unread byte has waited. `written`: (bytes so far, when) after each picture, oldest first;
    the last `unread` of those bytes were not taken."""
    if unread <= 0 or not written:
        return 0.0
    taken = written[-1][0] - unread
    for so_far, when in written:
        if so_far > taken:
            return max(0.0, now - when) * 1e3
    return 0.0
