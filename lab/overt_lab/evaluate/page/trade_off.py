"""The plot that verification and identification share: what is missed at each rate of false matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from overt_lab.evaluate.metrics import OperatingPoint, Step, named
from overt_lab.evaluate.page.plots import WIDTH, Series, det
from overt_lab.evaluate.page.setting import styles
from overt_lab.evaluate.page.svg import Sheet
from overt_lab.evaluate.wording import KINDS, share


class Traded(Protocol):
    """One kind of score, and what came of it."""

    @property
    def name(self) -> str: ...
    @property
    def points(self) -> Sequence[OperatingPoint]: ...
    @property
    def curve(self) -> Sequence[Step]: ...


def trade_off(kinds: Sequence[Traded], rate: str, axes: tuple[str, str]) -> str:
    """An SVG. `rate` is what false matches are called here; `axes` say what it and the misses count."""
    described = "; ".join(
        f"{KINDS[kind.name]}: "
        + ", ".join(f"at {rate} {named(p.fmr)} {share(1 - p.tmr)} missed" for p in kind.points if p.tmr is not None)
        for kind in kinds
    )
    series = [
        Series(
            label,
            [(step.false, step.missed) for step in kind.curve],
            style,
            [((p.fmr, 1 - p.tmr), share(1 - p.tmr)) for p in kind.points if p.tmr is not None],
        )
        for kind, (label, style) in zip(kinds, styles([kind.name for kind in kinds]), strict=True)
        if kind.curve
    ]
    return det(Sheet(WIDTH, 420, "Detection error trade-off", described, "det"), series, axes)
