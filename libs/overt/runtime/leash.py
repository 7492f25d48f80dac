"""Becomes another program that dies with its supervisor and leaves no core dump: leash.py PARENT_PID PROGRAM [ARG ...]

Run as a script of its own and not between fork and exec: a supervisor that speaks gRPC has threads, and gRPC's fork
handlers crashed one restart in four there (exit code -11). Both settings outlive exec. Standard library only, since
it runs without site packages.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # Linux, sys/prctl.h
NOT_FOUND = 127


def main() -> None:
    """Never returns; exit code 127 if the program cannot be run, 1 if the supervisor has died meanwhile."""
    supervisor, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        sys.exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        os.execvp(program[0], program)  # noqa: S606 - the supervisor's own list, no shell
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]}: {error.strerror}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main()
