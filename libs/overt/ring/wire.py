"""What is said on a door's socket: a ring's id and a line feed; one byte, and with YES the descriptor beside it."""

from __future__ import annotations

import socket
import struct

ID_BYTES = 32
"""Of an id, 128 random bits in hexadecimal."""

YES, NO = b"\x01", b"\x00"

_UCRED = struct.Struct("iII")  # pid, uid, gid: unix(7)


def peer_uid(connection: socket.socket) -> int:
    """Of the process at the other end when it connected, or began to listen; the kernel says so. OSError."""
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)
