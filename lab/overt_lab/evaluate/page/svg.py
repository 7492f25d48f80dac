"""Just enough SVG for plots of error rates. Strings in, a string out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """`dash`: as SVG has it, empty for a solid line. `hollow`: of the markers. Told apart without colour."""

    dash: str = ""
    width: float = 2.2
    shade: str = "#000"
    hollow: bool = False
    square: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to places on the sheet. `low` and `high` are at `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Values beyond the ends are put on them."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Where there is a number: powers of ten (and 2 and 5 times, where there are few), or some five round ones."""
        if not self.log:
            step = _round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step - 1e-9)
            return [round(n * step, 10) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]
        powers = range(math.floor(math.log10(self.low) - 1e-9), math.ceil(math.log10(self.high) + 1e-9) + 1)
        times = (1,) if math.log10(self.high / self.low) > 2.5 else (1, 2, 5)
        ticks = [k * 10.0**power for power in powers for k in times]
        return [tick for tick in ticks if self.low * (1 - 1e-9) <= tick <= self.high * (1 + 1e-9)]


def _round_step(about: float) -> float:
    power = 10.0 ** math.floor(math.log10(about))
    return power * min((1, 2, 2.5, 5, 10), key=lambda k: abs(k * power - about))


@dataclass(slots=True)
class Sheet:
    """A plot in the making. `title` and `description` are read out by screen readers."""

    width: int
    height: int
    title: str
    description: str
    number: str
    _parts: list[str] = field(default_factory=list)

    def line(self, points: Iterable[Point], style: Style) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{style.shade}" stroke-width="{style.width}"'
            f'{dash} stroke-linejoin="round"/>'
        )

    def area(self, points: Sequence[Point], shade: str) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polygon points="{path}" fill="{shade}" stroke="none"/>')

    def marker(self, at: Point, style: Style, size: float = 4.5) -> None:
        fill = "#fff" if style.hollow else style.shade
        shape = (
            f'<rect x="{at[0] - size * 0.9:.1f}" y="{at[1] - size * 0.9:.1f}" '
            f'width="{1.8 * size:.1f}" height="{1.8 * size:.1f}"'
            if style.square
            else f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{size}"'
        )
        self._parts.append(f'{shape} fill="{fill}" stroke="{style.shade}" stroke-width="1.8"/>')

    def text(self, at: Point, words: str, *, anchor: str = "start", kind: str = "", turned: bool = False) -> None:
        """`kind`: a class of the page's style sheet."""
        turn = f' transform="rotate(-90 {at[0]:.1f} {at[1]:.1f})"' if turned else ""
        about = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}"{about}{turn}>{escape(words)}</text>'
        )

    def __str__(self) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-labelledby="{self.number}-t {self.number}-d">'
            f'<title id="{self.number}-t">{escape(self.title)}</title>'
            f'<desc id="{self.number}-d">{escape(self.description)}</desc>{"".join(self._parts)}</svg>'
        )


GRID = Style(width=0.7, shade="#ccc")
AXIS = Style(width=1.2, shade="#000")


def percent(share: float) -> str:
    """As short as it can be told: 20 %, 0.1 %."""
    return f"{100 * share:.6g} %"


def plain(value: float) -> str:
    return f"{value:g}"


def spread_out(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """The same places in the same order, moved down so far that none is nearer than `least` to the next, and up again
    where they would go beyond `high`."""
    order = sorted(range(len(places)), key=places.__getitem__)
    found = list(places)
    free = low
    for i in order:
        found[i] = max(places[i], free)
        free = found[i] + least
    for after, i in enumerate(reversed(order)):
        found[i] = min(found[i], high - after * least)
    return found
