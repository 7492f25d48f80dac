"""Prints the part of requirements.lock that one service needs: python scripts/lock_for.py detect > detect.lock

An image installs only what it runs, and every wheel of it is held against the one lock. The lock's `# via` notes are
the graph: a package belongs if it is a requirement of ours or something that belongs asked for it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def roots(extra: str) -> set[str]:
    """What the distribution itself and this extra ask for. ValueError for an extra that is not there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if extra not in extras:
        raise ValueError(f"there is no extra {extra!r}: {', '.join(sorted(extras))}")
    wanted = [*project["dependencies"], *extras[extra]]
    names = {normalised(match.group()) for line in wanted if (match := _NAME.match(line))}
    for line in wanted:
        if own := re.fullmatch(rf"{project['name']}\[([^]]*)\]", line):  # an extra made of others
            names |= set().union(*(roots(other.strip()) for other in own[1].split(",")))
    return names - {normalised(project["name"])}


def blocks(lock: str) -> dict[str, str]:
    """Package name -> its lines. A package with two lines (by Python version) keeps both."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            name = normalised(line.split("==")[0])
            found.setdefault(name, "")
        found[name] += line
    return found


def subset(extra: str) -> str:
    """The lines of the lock that `extra` needs."""
    packages = blocks((ROOT / "requirements.lock").read_text())
    asked_by = {
        name: {normalised(v) for v in re.findall(r"#\s+(?:via )?([A-Za-z0-9._-]+)$", text, re.MULTILINE)} - {"via"}
        for name, text in packages.items()
    }
    belongs = roots(extra) & packages.keys()
    while more := {n for n, by in asked_by.items() if n not in belongs and by & belongs}:
        belongs |= more
    return "".join(text for name, text in packages.items() if name in belongs)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(subset(sys.argv[1]), end="")
    except ValueError as unknown:
        sys.exit(str(unknown))
