"""requirements.lock: every package pinned by hash, no address, and all that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.unit

_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}(?: \\)?")


@pytest.fixture(scope="module")
def lock(root: Path) -> list[tuple[str, list[str]]]:
    """(requirement, lines below it), comments left out."""
    entries: list[tuple[str, list[str]]] = []
    for line in (root / "requirements.lock").read_text().splitlines():
        if line.startswith("#") or line.strip().startswith("#"):
            continue
        if line.startswith(" "):
            entries[-1][1].append(line.strip())
        else:
            entries.append((line.removesuffix("\\").strip(), []))
    return entries


def test_every_package_is_pinned_and_has_its_hashes(lock: list[tuple[str, list[str]]]) -> None:
    assert len(lock) > 50
    for requirement, lines in lock:
        parsed = Requirement(requirement)
        assert [specifier.operator for specifier in parsed.specifier] == ["=="], requirement
        assert parsed.url is None
        assert lines, f"{requirement} has no hash"
        assert all(_HASH.fullmatch(line) for line in lines), requirement


def test_it_names_no_address(root: Path) -> None:
    text = (root / "requirements.lock").read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "no option: no index, no find-links, no editable"


def test_it_holds_what_the_project_asks_for(root: Path, lock: list[tuple[str, list[str]]]) -> None:
    pinned: dict[str, set[str]] = {}
    for line, _ in lock:
        requirement = Requirement(line)
        pinned.setdefault(canonicalize_name(requirement.name), set()).update(
            specifier.version for specifier in requirement.specifier
        )
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, asked):
        if requirement.name == project["name"]:
            continue
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement} is not in the lock: run `make lock`"
        assert all(requirement.specifier.contains(v, prereleases=True) for v in versions), requirement


def test_one_opencv_only(lock: list[tuple[str, list[str]]]) -> None:
    """Two install the same `cv2` over each other; the other one is shut out by a marker that is never true."""
    found = [Requirement(line) for line, _ in lock if line.startswith("opencv")]
    assert [r.name for r in found if r.marker is None or r.marker.evaluate()] == ["opencv-python"]


def test_the_generator_of_contracts_is_pinned_to_the_floor(root: Path) -> None:
    """Generated gRPC code refuses a grpcio that is older than its generator."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    floors = {Requirement(r).name: str(Requirement(r).specifier) for r in project["dependencies"]}
    (generator,) = [r for r in project["optional-dependencies"]["dev"] if r.startswith("grpcio-tools")]
    version = generator.partition("==")[2]
    assert version.startswith(floors["grpcio"].removeprefix(">="))
