"""The real engine, once a session: it takes a second to load."""

from __future__ import annotations

import os

import pytest
from overt.models import PreparedPack, default_directory, ensure
from overt_detect.adapters.choosing import Wishes, choose
from overt_detect.adapters.engine import OnnxEngine
from overt_detect.adapters.graphs.onnx_runtime import OnnxRuntime


@pytest.fixture(scope="session")
def prepared() -> PreparedPack:
    return ensure("open", default_directory(os.environ))


@pytest.fixture(scope="session")
def engine(prepared: PreparedPack) -> OnnxEngine:
    """As the service chooses it on this machine."""
    return choose(prepared, Wishes(streams=os.cpu_count() or 1)).engine


@pytest.fixture(scope="session")
def exact(prepared: PreparedPack) -> OnnxEngine:
    """f32 on ONNX Runtime: what the others are compared with."""
    return OnnxEngine(prepared, OnnxRuntime(), smallest_score=0.5)
