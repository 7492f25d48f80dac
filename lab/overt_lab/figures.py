"""Percentiles and JSON files of the lab's commands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def percentiles(values: Sequence[float], *which: int) -> dict[str, float | None]:
    """`{"p50": ...}`, to one decimal. All None where there is nothing to take them of, or a value is not a number."""
    found = np.percentile(values, which) if values else [math.nan] * len(which)
    return {f"p{p}": None if math.isnan(v) else round(float(v), 1) for p, v in zip(which, found, strict=True)}


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Makes the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
