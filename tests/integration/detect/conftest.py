"""The real engine, once a session: it takes two seconds to load."""

from __future__ import annotations

import os

import pytest
from overt.models import PreparedPack, default_directory, ensure
from overt_detect.adapters.engine import OnnxEngine


@pytest.fixture(scope="session")
def prepared() -> PreparedPack:
    return ensure("open", default_directory(os.environ))


@pytest.fixture(scope="session")
def engine(prepared: PreparedPack) -> OnnxEngine:
    return OnnxEngine(prepared, provider="CPUExecutionProvider", threads=1, smallest_score=0.5)
