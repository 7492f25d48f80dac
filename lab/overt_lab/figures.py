"""Percentiles and JSON files of the lab's commands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def percentiles(values: Sequence[float], *which: int) -> dict[str, float | None]:
    """`{"p50": ...}`, milliseconds to one decimal; None where there is nothing to take them of."""
    if not values:
        return {f"p{p}": None for p in which}
    found = np.percentile(values, which)
    return {f"p{p}": round(float(v), 1) for p, v in zip(which, found, strict=True) if not math.isnan(v)}


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
