"""Generated code: what differs is found, what does not is left alone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.unit


@pytest.fixture
def gen(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with `generate` writing two files, and a committed copy in the test's own folder."""
    module = script("gen_protos")

    def generate(into: Path) -> None:
        _write(into / "overt" / "api", {"a/one.py": "1", "b.py": "2"})

    monkeypatch.setattr(module, "generate", generate)
    monkeypatch.setattr(module, "COMMITTED", tmp_path / "committed")
    return module


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def _run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gen_protos.py", *arguments])
    return int(module.main())


def test_the_same_is_no_difference(gen: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "committed", {"a/one.py": "1", "b.py": "2", "a/__pycache__/one.cpython-311.pyc": "x"})
    assert _run(gen, monkeypatch, "--check") == 0


@pytest.mark.parametrize(
    ("committed", "named"),
    [
        ({"a/one.py": "1", "b.py": "changed by hand"}, ["b.py"]),
        ({"a/one.py": "1"}, ["b.py"]),
        ({"a/one.py": "1", "b.py": "2", "a/left_over.py": ""}, ["a/left_over.py"]),
        ({}, ["a/one.py", "b.py"]),
    ],
)
def test_every_file_that_differs_is_named(
    gen: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    committed: dict[str, str],
    named: list[str],
) -> None:
    _write(tmp_path / "committed", committed)
    before = {p: p.read_text() for p in (tmp_path / "committed").rglob("*.py")}
    assert _run(gen, monkeypatch, "--check") == 1
    told = capsys.readouterr().out.split()
    assert "make proto" in " ".join(told).replace("`", "")
    assert [word for word in told if word.endswith(".py")] == named
    assert {p: p.read_text() for p in (tmp_path / "committed").rglob("*.py")} == before, "looking changes nothing"


def test_without_check_it_is_written_anew(gen: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "committed", {"left_over.py": "", "b.py": "old"})
    assert _run(gen, monkeypatch) == 0
    assert gen.differing(tmp_path / "committed", tmp_path / "committed") == []
    assert {p.name: p.read_text() for p in (tmp_path / "committed").rglob("*.py")} == {"one.py": "1", "b.py": "2"}


def test_a_file_and_a_folder_of_one_name_differ(gen: ModuleType, tmp_path: Path) -> None:
    _write(tmp_path / "left", {"x": "file"})
    _write(tmp_path / "right", {"x/y.py": "folder"})
    assert gen.differing(tmp_path / "left", tmp_path / "right") == ["x", "x/y.py"]


def test_what_is_committed_is_what_the_contracts_say(
    script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The drift check itself, with the real generator; and it sees one byte."""
    module = script("gen_protos")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    module.generate(fresh)
    assert module.differing(fresh / "overt" / "api", module.COMMITTED) == []
    copy = tmp_path / "copy"
    shutil.copytree(module.COMMITTED, copy, ignore=shutil.ignore_patterns("__pycache__"))
    victim = max(copy.rglob("*_pb2.py"), key=lambda p: p.stat().st_size)
    victim.write_bytes(victim.read_bytes() + b"\n")
    assert module.differing(fresh / "overt" / "api", copy) == [victim.relative_to(copy).as_posix()]
