"""Generates libs/overt/api from proto/, or with --check fails if what is committed differs.

The folder of a .proto, its package and its Python import are one and the same path, so that generated imports
need no repair.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "libs" / "overt" / "api"


def generate(into: Path) -> None:
    """Writes the Python package `overt/api` below `into`."""
    sources = sorted((ROOT / "proto").rglob("*.proto"))
    bin_dir = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={ROOT / 'proto'}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
            f"--python_out={into}",
            f"--grpc_python_out={into}",
            f"--mypy_out=quiet:{into}",
            f"--mypy_grpc_out=quiet,only_async:{into}",
            *map(str, sources),
        ],
        check=True,
    )
    package = into / "overt" / "api"
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        (folder / "__init__.py").write_text('"""Generated from proto/ by `make proto`. Do not edit."""\n')


def differing(left: Path, right: Path) -> list[str]:
    """Relative paths that are not the same on both sides."""
    names = {
        p.relative_to(side).as_posix()
        for side in (left, right)
        for p in side.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    return sorted(
        n
        for n in names
        if not ((left / n).is_file() and (right / n).is_file() and filecmp.cmp(left / n, right / n, shallow=False))
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that differ")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = Path(scratch) / "overt" / "api"
        if check:
            different = differing(fresh, COMMITTED)
            if different:
                print("generated code is not what proto/ says; run `make proto`:", *different, sep="\n  ")
            return 1 if different else 0
        shutil.rmtree(COMMITTED, ignore_errors=True)
        shutil.copytree(fresh, COMMITTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
