"""Fixtures that more than one kind of test needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OVERT_STRICT_TELEMETRY", "1")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The measuring pictures, which are not part of the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the measuring pictures are not here ({folder})")
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """Of the repository."""
    return ROOT
