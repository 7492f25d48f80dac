"""The keyring in a directory: its files, who may have it, what it refuses, and failures of its medium."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from overt.crypto import FileKeyring, KeyKind
from overt.crypto.keyring import directory as directories
from overt.errors import Fatal, Rejected, Retryable
from overt.reasons import Reason

pytestmark = pytest.mark.unit


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keyring"


@pytest.fixture
def keyring(directory: Path) -> Iterator[FileKeyring]:
    keyring = FileKeyring(directory)
    yield keyring
    keyring.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_modes(keyring: FileKeyring, directory: Path) -> None:
    keyring.create("a")
    keyring.destroy("a")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_there_is_one_key_file_and_one_ring(keyring: FileKeyring, directory: Path) -> None:
    assert names(directory) == ["current", "kek-1", "lock", "ring-1"]
    keyring.create("a")
    keyring.create("b")
    assert names(directory) == ["current", "kek-1", "lock", "ring-3"]
    keyring.destroy("a")
    assert names(directory) == ["current", "kek-2", "lock", "ring-4"]


def test_no_key_lies_in_the_clear(keyring: FileKeyring, directory: Path) -> None:
    keys = [keyring.create(f"alert/d/{n}", kind=kind) for n, kind in enumerate(KeyKind)]
    kek = (directory / "kek-1").read_bytes()
    ring = (directory / "ring-3").read_bytes()
    document = json.loads(ring)
    assert sorted(document["keys"]) == ["alert/d/0", "alert/d/1"]
    for secret in (*keys, kek):
        assert secret not in ring
        assert secret.hex().encode() not in ring
        assert secret.hex() not in repr(keyring)
    assert repr(kek)[2:-1] not in repr(keyring._state)


def test_keys_outlive_the_process(keyring: FileKeyring, directory: Path) -> None:
    key = keyring.create("a")
    keyring.close()
    again = FileKeyring(directory)
    assert again.get("a") == key
    again.close()


def test_a_destroyed_key_does_not_open_with_a_copy_of_the_old_ring(keyring: FileKeyring, directory: Path) -> None:
    """A backup of the rings is worth nothing: every destruction changes the key that wraps."""
    keyring.create("a")
    keyring.create("b")
    copy = (directory / "ring-3").read_bytes()
    keyring.destroy("a")
    keyring.close()
    (directory / "ring-4").write_bytes(copy)
    with pytest.raises(Fatal, match="does not open"):
        FileKeyring(directory)


def test_destroying_overwrites_before_it_unlinks(keyring: FileKeyring, directory: Path) -> None:
    keyring.create("a")
    kek, ring = directory / "kek-1", directory / "ring-2"
    before = {path: path.read_bytes() for path in (kek, ring)}
    # Open files outlive their names, and show what was left in them.
    with kek.open("rb") as old_kek, ring.open("rb") as old_ring:
        keyring.destroy("a")
        for path, still_open in ((kek, old_kek), (ring, old_ring)):
            assert not path.exists()
            left = still_open.read()
            assert len(left) == len(before[path])
            assert left != before[path]


def test_each_wrapped_key_is_bound_to_its_id_and_kind(keyring: FileKeyring, directory: Path) -> None:
    keyring.create("a")
    keyring.create("b")
    keyring.close()
    ring = directory / "ring-3"
    good = ring.read_bytes()
    keys = json.loads(good)["keys"]
    for altered in (
        {"a": keys["b"], "b": keys["a"]},
        {**keys, "c": keys["a"]},
        {**keys, "a": {**keys["a"], "kind": "sealing"}},
    ):
        document = {**json.loads(good), "keys": altered}
        ring.write_text(json.dumps(document))
        with pytest.raises(Fatal, match="ring-3"):
            FileKeyring(directory)
    ring.write_bytes(good)
    FileKeyring(directory).close()


@pytest.mark.parametrize("name", ["current", "kek-1", "ring-3"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "bit", "rubbish"])
def test_damage_is_fatal_and_nothing_is_touched(keyring: FileKeyring, directory: Path, name: str, damage: str) -> None:
    keyring.create("a")
    keyring.create("b")
    keyring.close()
    path = directory / name
    good = path.read_bytes()
    at = len(good) - 6  # inside a wrapped key, a name or a number
    bad = {
        "missing": None,
        "empty": b"",
        "half": good[: len(good) // 2],
        "bit": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
        "rubbish": b"\xff" * len(good),
    }[damage]
    path.unlink() if bad is None else path.write_bytes(bad)
    (directory / "ring-9").write_bytes(b"left over")
    before = {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"}
    with pytest.raises(Fatal) as caught:
        FileKeyring(directory)
    assert "damaged" in str(caught.value)
    assert str(directory) in str(caught.value)
    assert {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"} == before
    # Put back, nothing is lost.
    path.write_bytes(good)
    again = FileKeyring(directory)
    assert again.ids() == ("a", "b")
    assert not (directory / "ring-9").exists()
    again.close()


def test_a_second_keyring_on_the_same_directory(keyring: FileKeyring, directory: Path) -> None:
    with pytest.raises(Fatal, match=f"in use by process {os.getpid()}"):
        FileKeyring(directory)
    keyring.create("the-first-goes-on")


def test_a_second_process(keyring: FileKeyring, directory: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from overt.crypto import FileKeyring; from overt.errors import Fatal\n"
        "try: FileKeyring(Path(sys.argv[1]))\n"
        "except Fatal as fatal: sys.exit(f'refused: {fatal}')\n"
    )
    command = [sys.executable, "-c", program, str(directory)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert f"in use by process {os.getpid()}" in second.stderr
    keyring.close()
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_an_open_directory_is_closed(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    FileKeyring(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    directory.chmod(0o777)
    FileKeyring(directory).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_somebody_elses_directory_is_left_alone(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    (directory / "precious").write_text("x")
    with pytest.raises(Fatal, match="one of its own"):
        FileKeyring(directory)
    assert names(directory) == ["precious"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "keyring"):
        with pytest.raises(Fatal, match="OVERT_DATA_DIR"):
            FileKeyring(path)


def test_not_writable(directory: Path) -> None:
    """As another user where we are root, whom no mode stops."""
    directory.mkdir(parents=True)
    directory.chmod(0o500)
    program = (
        "import os, sys; from pathlib import Path\n"
        "from overt.crypto import FileKeyring; from overt.errors import Fatal\n"
        "if os.geteuid() == 0: os.chown(sys.argv[1], 65534, -1); os.setuid(65534)\n"
        "try: FileKeyring(Path('.'))\n"
        "except Fatal as fatal: sys.exit(f'refused: {fatal}')\n"
    )
    command = [sys.executable, "-c", program, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=directory)
    assert result.returncode == 1, result.stderr
    assert "Permission denied" in result.stderr
    assert "OVERT_DATA_DIR" in result.stderr
    assert "Traceback" not in result.stderr


class FailingOs:
    """`os`, in which one function fails from now on."""

    def __init__(self, function: str, error: int) -> None:
        self._function, self._error = function, error

    def __getattr__(self, name: str) -> Any:
        if name == self._function:
            return self._fail
        return getattr(os, name)

    def _fail(self, *args: object, **kwargs: object) -> None:
        raise OSError(self._error, os.strerror(self._error))


@pytest.mark.parametrize("function", ["open", "write", "fsync"])
def test_a_full_medium_changes_nothing(
    keyring: FileKeyring, directory: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    key = keyring.create("a")
    with monkeypatch.context() as patched:
        patched.setattr(directories, "os", FailingOs(function, errno.ENOSPC))
        with pytest.raises(Retryable, match="No space left"):
            keyring.create("b")
        with pytest.raises(Retryable, match="nothing was changed"):
            keyring.destroy("a")
        assert keyring.get("a") == key
        assert keyring.ids() == ("a",)
    other = keyring.create("b")
    assert keyring.destroy("a").key_ids == ("a",)
    assert keyring.get("b") == other
    assert len(names(directory)) == 4


def test_a_read_only_medium(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FileKeyring(directory).close()
    monkeypatch.setattr(directories, "os", FailingOs("open", errno.EROFS))
    with pytest.raises(Fatal, match="Read-only file system"):
        FileKeyring(directory)


def test_a_failure_in_the_switch_closes_the_keyring(
    keyring: FileKeyring, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then which state is on the medium, and to guess wrong would destroy keys."""
    key = keyring.create("a")
    with monkeypatch.context() as patched:
        patched.setattr(directories, "os", FailingOs("replace", errno.EIO))
        with pytest.raises(Fatal, match="restart"):
            keyring.create("b")
    for call in (lambda: keyring.get("a"), lambda: keyring.create("b"), lambda: keyring.destroy("a")):
        with pytest.raises(Fatal, match="restart"):
            call()
    keyring.close()
    again = FileKeyring(directory)
    assert again.get("a") == key
    again.close()


def test_an_old_key_that_cannot_be_overwritten_is_told_and_tried_again(
    keyring: FileKeyring, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.create("a")
    with monkeypatch.context() as patched:
        patched.setattr(directories, "os", FailingOs("unlink", errno.EIO))
        with pytest.raises(Retryable, match="could not be overwritten"):
            keyring.destroy("a")
    with pytest.raises(Rejected) as caught:
        keyring.get("a")
    assert caught.value.reason is Reason.UNKNOWN_KEY
    assert (directory / "kek-1").exists()
    assert keyring.destroy("a").already_gone == ("a",)
    assert names(directory) == ["current", "kek-2", "lock", "ring-3"]


def test_fifty_keys_take_no_time(keyring: FileKeyring) -> None:
    """One small rewrite a key: bounded loosely, for slow disks and busy machines."""
    began = time.perf_counter()
    for n in range(50):
        keyring.create(f"alert/d/{n}")
    assert time.perf_counter() - began < 10
