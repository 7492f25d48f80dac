"""What the faces of a set of pictures are like, and whether another set's are like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from overt.cohort import Likeness
from overt_detect.domain.quality import Quality

QUANTILES: Final = (0.1, 0.5, 0.9)

MOST_APART: Final = {"size_px": 2.0, "sharpness": 3.0, "brightness": 1.5}
"""Medians further apart than by this factor are told."""

_SAID: Final = {"size_px": "size (px)", "sharpness": "sharpness", "brightness": "brightness"}


def likeness_of(faces: Sequence[Quality]) -> Likeness | None:
    """None of no face."""
    lit = [(face.size_px, face.light.sharpness, face.light.brightness) for face in faces if face.light is not None]
    if not lit:
        return None
    low, middle, high = np.quantile(np.array(lit), QUANTILES, axis=0).tolist()
    return Likeness(*zip(low, middle, high, strict=True))


def apart(cohort: Likeness, site: Likeness) -> list[str]:
    """In what their medians differ by more than MOST_APART, for people."""
    told = []
    for name, most in MOST_APART.items():
        one, other = getattr(cohort, name)[1], getattr(site, name)[1]
        if max(one, other) > most * max(min(one, other), 1e-9):
            told.append(f"{_SAID[name]}: {one:.0f} in the cohort, {other:.0f} in the mated pictures")
    return told


def rows(cohort: Likeness | None, site: Likeness | None) -> list[tuple[str, str, str]]:
    """(what, of the cohort, of the mated pictures): 10 %, 50 % and 90 % of the faces."""
    return [
        (said, *("-" if one is None else " / ".join(f"{v:.0f}" for v in getattr(one, name)) for one in (cohort, site)))  # type: ignore[misc]
        for name, said in _SAID.items()
    ]
