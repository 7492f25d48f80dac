"""How long the steps of a frame take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Literal

from overt.telemetry import Metric, observe


@contextlib.contextmanager
def step(name: Literal["decode", "detect", "track", "align", "level", "template"]) -> Iterator[None]:
    """Measures what happens inside, also when it fails."""
    began = time.perf_counter()
    try:
        yield
    finally:
        observe(Metric.DETECT_STEP, (time.perf_counter() - began) * 1e3, step=name)
