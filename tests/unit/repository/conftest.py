"""What git tracks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tracked(root: Path) -> list[Path]:
    """Every file of the repository that git knows and that is there."""
    # Also where the checkout belongs to another user, as in many a container.
    command = ["git", "-c", f"safe.directory={root}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout: what belongs to the repository is not known")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := root / name).is_file()]


@pytest.fixture(scope="session")
def documents(root: Path, tracked: list[Path]) -> dict[str, str]:
    """Every Markdown file's text by its name."""
    return {str(path.relative_to(root)): path.read_text() for path in tracked if path.suffix == ".md"}
