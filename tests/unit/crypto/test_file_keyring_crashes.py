"""A crash at every step of every change: the state of before or the state of after, and nothing in between.

Two kinds. The process dies, at each system call that changes something in turn, and the kernel keeps all that was
written. Or the power is cut with it, and of what was not fsynced any part may be lost: a model of a medium that is
as unkind as POSIX lets it be draws which.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from overt.crypto import FileKeyring, aead
from overt.crypto.keyring import directory as directories

pytestmark = pytest.mark.unit

KEYS = {f"alert/d/{n}": bytes([n]) * aead.KEY_BYTES for n in range(4)}
VICTIMS = ("alert/d/1", "alert/d/2")
NEW = b"\xaa" * aead.KEY_BYTES

Change = Callable[[FileKeyring], object]
State = Mapping[str, bytes]

CHANGES: dict[str, tuple[Change, State]] = {
    "put": (lambda keyring: keyring.put("new", NEW), {**KEYS, "new": NEW}),
    "destroy some": (
        lambda keyring: keyring.destroy(*VICTIMS),
        {key_id: key for key_id, key in KEYS.items() if key_id not in VICTIMS},
    ),
    "destroy all": (lambda keyring: keyring.destroy(*KEYS), {}),
}


class Died(BaseException):
    """The process is gone."""


class Medium:
    """The keyring's directory twice: as the kernel shows it, and as much of it as is safe from a power cut."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._numbers = itertools.count()
        self.shown: dict[str, int] = {}
        self.contents: dict[int, bytes] = {}
        for path in sorted(directory.iterdir()) if directory.exists() else ():
            if path.name != "lock":
                self.new(path.name, path.read_bytes())
        self.safe = dict(self.shown)
        self.safe_contents = dict(self.contents)

    def new(self, name: str, content: bytes) -> int:
        inode = next(self._numbers)
        self.shown[name], self.contents[inode] = inode, content
        return inode

    def after_power_cut(self, draw: random.Random, to: Path) -> Path:
        """What may be found then: of each name the old or the new, of each content the old, the new or both."""
        to.mkdir(parents=True, mode=0o700)
        for name in sorted({*self.shown, *self.safe}):
            inode = draw.choice([entries.get(name) for entries in (self.shown, self.safe)])
            if inode is not None:
                old, new = self.safe_contents.get(inode, b""), self.contents[inode]
                cut = draw.randrange(len(new) + 1)
                (to / name).write_bytes(draw.choice([old, new, new[:cut] + old[cut:]]))
        return to


class MortalOs:
    """`os`, in which the process dies at the nth call that changes something: before it does (a write: in its
    middle), or right after. Writes down in `medium` what is done."""

    CHANGING = ("open", "write", "fsync", "replace", "unlink", "ftruncate", "pwrite")

    def __init__(self, medium: Medium, *, dies_at: int = -1, after: bool = False) -> None:
        self.medium = medium
        self.armed = False
        self._calls, self._dies_at, self._after = 0, dies_at, after
        self._inodes: dict[int, int] = {}
        self._positions: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self.CHANGING:
            return getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            due = self.armed and self._calls == self._dies_at
            self._calls += self.armed
            if due and not self._after:
                if name == "write":
                    self._do(name, args[0], args[1][: len(args[1]) // 2])
                raise Died
            result = self._do(name, *args, **kwargs)
            if due:
                raise Died
            return result

        return call

    def _do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        result = getattr(os, name)(*args, **kwargs)
        getattr(self, f"_note_{name}", lambda *_: None)(result, *args)
        return result

    def _note_open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        self._inodes.pop(descriptor, None)
        self._positions[descriptor] = 0
        if flags & os.O_EXCL:
            self._inodes[descriptor] = self.medium.new(path, b"")
        elif path in self.medium.shown:
            self._inodes[descriptor] = self.medium.shown[path]
        elif path == self.medium.directory:
            self._inodes[descriptor] = -1

    def _note_write(self, written: int, descriptor: int, data: memoryview) -> None:
        inode, at = self._inodes[descriptor], self._positions[descriptor]
        old = self.medium.contents[inode]
        self.medium.contents[inode] = old[:at] + bytes(data[:written]) + old[at + written :]
        self._positions[descriptor] = at + written

    def _note_fsync(self, _: None, descriptor: int) -> None:
        inode = self._inodes.get(descriptor)
        if inode == -1:
            self.medium.safe = dict(self.medium.shown)
        elif inode is not None:
            self.medium.safe_contents[inode] = self.medium.contents[inode]

    def _note_replace(self, _: None, source: str, target: str) -> None:
        self.medium.shown[target] = self.medium.shown.pop(source)

    def _note_unlink(self, _: None, name: str) -> None:
        del self.medium.shown[name]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keyring with four keys, to be copied."""
    path = tmp_path_factory.mktemp("template") / "keyring"
    keyring = FileKeyring(path)
    for key_id, key in KEYS.items():
        keyring.put(key_id, key)
    keyring.close()
    return path


class Bench:
    """Copies of the template, and lives of a process on them."""

    def __init__(self, template: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.template, self._folder, self._patch = template, folder, patch
        self._numbers = itertools.count()

    def place(self) -> Path:
        return self._folder / str(next(self._numbers)) / "keyring"

    def copy(self) -> Path:
        return Path(shutil.copytree(self.template, self.place()))

    def dies(self, mortal: MortalOs, change: Change | None = None) -> bool:
        """One life: opens the keyring (armed at once without a change), changes it. Whether it died."""
        mortal.armed = change is None
        with self._patch.context() as patched:
            patched.setattr(directories, "os", mortal)
            try:
                keyring = FileKeyring(mortal.medium.directory)
            except Died:
                return True
            try:
                mortal.armed = True
                if change is not None:
                    change(keyring)
            except Died:
                return True
            finally:
                keyring.close()  # the kernel does it for the dead
        return False

    def found(self, directory: Path) -> State:
        """The keys, after a look that all is tidy."""
        keyring = FileKeyring(directory)
        state = {key_id: keyring.get(key_id) for key_id in keyring.ids()}
        keyring.close()
        kinds = sorted(path.name.partition("-")[0] for path in directory.iterdir())
        assert kinds == ["current", "kek", "lock", "ring"]
        return state


@pytest.fixture
def bench(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(template, tmp_path, monkeypatch)


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("what", CHANGES)
def test_death_at_every_step(bench: Bench, what: str, after: bool) -> None:
    change, expected = CHANGES[what]
    old_current = (bench.template / "current").read_bytes()
    old_kek = (bench.template / "kek-1").read_bytes()
    switched_at: list[bool] = []
    for step in itertools.count():
        directory = bench.copy()
        died = bench.dies(MortalOs(Medium(directory), dies_at=step, after=after), change)
        switched = (directory / "current").read_bytes() != old_current
        state = bench.found(directory)
        assert state == (expected if switched else KEYS), f"step {step}"
        if switched and what != "put":
            assert all(old_kek not in path.read_bytes() for path in directory.iterdir())
        switched_at.append(switched)
        if not died:
            break
    assert len(switched_at) > 12
    assert switched_at == sorted(switched_at)
    assert switched_at[0] is False
    assert switched_at[-1] is True


def test_death_in_the_clearing_up_after_a_death(bench: Bench) -> None:
    change, expected = CHANGES["destroy some"]
    deaths = 0
    for step in itertools.count():
        for opening in itertools.count():
            directory = bench.copy()
            died = bench.dies(MortalOs(Medium(directory), dies_at=step), change)
            died_again = bench.dies(MortalOs(Medium(directory), dies_at=opening))
            assert bench.found(directory) in (KEYS, expected), f"step {step}, then {opening}"
            deaths += died and died_again
            if not died_again:
                break
        if not died:
            break
    assert deaths > 100


def test_death_in_the_first_start(bench: Bench) -> None:
    for step in itertools.count():
        directory = bench.place()
        died = bench.dies(MortalOs(Medium(directory), dies_at=step))
        assert bench.found(directory) == {}
        if not died:
            break
    assert step > 10


@pytest.mark.parametrize("what", CHANGES)
def test_power_cut_at_every_step(bench: Bench, what: str) -> None:
    change, expected = CHANGES[what]
    old_kek = (bench.template / "kek-1").read_bytes()
    draw = random.Random(20260501)
    for step in itertools.count():
        medium = Medium(bench.copy())
        died = bench.dies(MortalOs(medium, dies_at=step), change)
        for _ in range(12):
            directory = medium.after_power_cut(draw, bench.place())
            names = {path.name for path in directory.iterdir()}
            state = bench.found(directory)
            assert state in (KEYS, expected), f"step {step}"
            if not died:
                # What has returned has happened, and nothing comes back.
                assert state == expected
                assert len(names) == 3
        if not died:
            break
    # Nor does anything that was ever on the medium, unlinked or not, hold the key that was replaced.
    assert what == "put" or old_kek not in medium.safe_contents.values()


def test_power_cut_in_the_clearing_up_after_a_death(bench: Bench) -> None:
    """The switch may be shown by the kernel and not be safe yet when the next process clears up after it."""
    change, expected = CHANGES["destroy some"]
    draw = random.Random(20260502)
    for step in itertools.count():
        for opening in itertools.count():
            medium = Medium(bench.copy())
            died = bench.dies(MortalOs(medium, dies_at=step), change)
            died_again = bench.dies(MortalOs(medium, dies_at=opening))
            for _ in range(3):
                state = bench.found(medium.after_power_cut(draw, bench.place()))
                assert state in (KEYS, expected), f"step {step}, then {opening}"
            if not died_again:
                break
        if not died:
            break


def test_power_cut_in_the_first_start(bench: Bench) -> None:
    draw = random.Random(20260503)
    for step in itertools.count():
        medium = Medium(bench.place())
        died = bench.dies(MortalOs(medium, dies_at=step))
        for _ in range(5):
            assert bench.found(medium.after_power_cut(draw, bench.place())) == {}
        if not died:
            break
