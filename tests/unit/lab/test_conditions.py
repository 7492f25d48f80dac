"""What stands beside figures, in a checkout and outside of one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from overt_lab import conditions as module
from overt_lab.conditions import conditions

pytestmark = pytest.mark.unit


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_and_whether_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    assert conditions()["commit"] is None, "no checkout"
    (tmp_path / ".git").mkdir()
    assert conditions()["commit"] is None, "not one that git can read"
    (tmp_path / ".git").rmdir()
    _git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    _git(tmp_path, "add", "file")
    _git(tmp_path, "commit", "-qm", "first")
    commit = conditions()["commit"]
    assert re.fullmatch(r"[0-9a-f]{7,}", commit)
    (tmp_path / "beside").write_text("not part of it")
    assert conditions()["commit"] == commit
    (tmp_path / "file").write_text("two")
    assert conditions()["commit"] == f"{commit}-dirty"


def test_a_repository_further_up_is_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(tmp_path, "init", "-q")
    (tmp_path / "site-packages").mkdir()
    monkeypatch.setattr(module, "_ROOT", tmp_path / "site-packages")
    assert conditions()["commit"] is None


def test_the_cores_are_those_that_may_be_used() -> None:
    assert conditions()["cores"] >= 1
