"""One system per data directory: the lock that says so, and the note by which other verbs find it.

The lock is the kernel's (flock), so it is gone with its process however that ended. The note may outlive it: then
it names the run directory that a killed system left behind with its secrets, and the next one removes that.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from overt.errors import Fatal

from overt_lab.layout import Layout, write_private

RUN_PREFIX = "overt-"
_LOCK = "lock"
_NOTE = "running.json"
# Who only asks holds the lock for a moment.
_LOCK_TRIES, _LOCK_PAUSE_S = 10, 0.02


def state_home() -> Path:
    """Where `overt up` keeps its data unless told otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "overt"


@dataclass(frozen=True, slots=True)
class Running:
    """What the other verbs have to know of a system that is up."""

    gateway_url: str
    camera_address: str
    layout: Layout
    pid: int


class Hold:
    """This process's claim on a data directory, from making it to `release`. Fatal if another process has it."""

    def __init__(self, layout: Layout) -> None:
        self._note = layout.data / _NOTE
        self._file: int | None = os.open(layout.data / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if not _locked_in_time(self._file):
            os.close(self._file)
            by = f" (process {pid})" if (pid := _read(self._note).get("pid")) else ""
            raise Fatal(
                f"a system runs on {layout.data} already{by}: stop that one, or say another directory with --data DIR"
            )
        _remove_run_directory(_read(self._note).get("run"))
        self._tell(run=str(layout.run))

    def ready(self, running: Running) -> None:
        """From now on `find_running` finds it."""
        self._tell(
            run=str(running.layout.run),
            gateway_url=running.gateway_url,
            camera_address=running.camera_address,
        )

    def release(self) -> None:
        """Idempotent. The run directory has to be gone by now: nobody looks for it afterwards."""
        if self._file is not None:
            self._note.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _tell(self, **fields: str) -> None:
        write_private(self._note, json.dumps({"pid": os.getpid(), **fields}) + "\n")


def find_running(data: Path) -> Running:
    """Fatal, with what to do, if no system runs on this data directory."""
    advice = "start one with `overt up`, or say where it is with --data DIR"
    try:
        lock = os.open(data / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        raise Fatal(f"no system runs on {data}: {advice}") from None
    except OSError as error:
        raise Fatal(f"{data} cannot be looked into ({error.strerror}): {advice}") from None
    try:
        if _locked(lock, fcntl.LOCK_SH):
            raise Fatal(f"no system runs on {data} any more: {advice}")
    finally:
        os.close(lock)
    found = _read(data / _NOTE)
    try:
        layout = Layout(data, Path(found["run"]))
        return Running(found["gateway_url"], found["camera_address"], layout, int(found.get("pid", "0")))
    except KeyError:
        raise Fatal(f"the system on {data} is still starting: try again in a moment") from None


def _locked_in_time(file: int) -> bool:
    for _ in range(_LOCK_TRIES):
        if _locked(file, fcntl.LOCK_EX):
            return True
        time.sleep(_LOCK_PAUSE_S)
    return False


def _locked(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(note: Path) -> dict[str, str]:
    """Empty if there is none, or none that can be used."""
    try:
        found = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _remove_run_directory(left: str | None) -> None:
    """Of a system that was killed. Only what is certainly ours: a directory of our making, of this user."""
    if left is None:
        return
    path = Path(left)
    ours = path.name.startswith(RUN_PREFIX) and path.is_dir() and not path.is_symlink()
    if ours and path.stat().st_uid == os.getuid():
        shutil.rmtree(path, ignore_errors=True)
