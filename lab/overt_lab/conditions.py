"""What stands beside every figure: the processors and the commit it was measured with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def conditions() -> dict[str, Any]:
    """`commit` is None outside of a checkout, and ends in `-dirty` where files differ from it."""
    return {"cores": cores(), "commit": _commit()}


def _commit() -> str | None:
    if not (_ROOT / ".git").exists():
        return None  # installed as a package: a repository further up is somebody else's
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return f"{commit}-dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    # Without its lock: measuring changes nothing, not even git's notes on which files are fresh.
    command = ["git", "--no-optional-locks", "-C", str(_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
