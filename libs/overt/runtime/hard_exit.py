"""The last word: a process that was told to stop ends, whatever hangs in it."""

from __future__ import annotations

import contextlib
import os
import threading

EXIT_CODE = 3

_armed = threading.Lock()


def arm(seconds: float) -> None:
    """Ends the process with exit code 3, at once and without any clean-up, in `seconds`. The first call counts.

    A daemon thread: it does not keep alive a process that ends by itself before.
    """
    if not _armed.acquire(blocking=False):
        return
    thread = threading.Thread(target=_end, args=(seconds,), name="hard-exit", daemon=True)
    thread.start()


def _end(seconds: float) -> None:
    threading.Event().wait(seconds)
    # Straight to the descriptor, and without waiting: a lock of the log, or who reads it, may be what hangs.
    with contextlib.suppress(OSError):
        os.set_blocking(2, False)
        os.write(2, b'{"level":"error","event":"hard_exit"}\n')
    os._exit(EXIT_CODE)
