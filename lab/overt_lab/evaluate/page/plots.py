"""The plots of the reports: DET curves, score distributions, rates of groups with their intervals, curves of groups.

Everything is told apart by line style, marker and a label beside it, never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from overt_lab.evaluate.page.svg import AXIS, GRID, Point, Scale, Sheet, Style, percent, plain, spread_out

WIDTH = 760
FIRST = Style(dash="7 4", width=1.9, shade="#444", hollow=True)
SECOND = Style(width=2.6)
_DASHES = ("", "8 3", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "6 3 2 3 2 3")


@dataclass(frozen=True, slots=True)
class Frame:
    """The axes, and the sheet that they are on."""

    sheet: Sheet
    x: Scale
    y: Scale


@dataclass(frozen=True, slots=True)
class Series:
    """A line with its name; `marks`: points of it that stand out, with what is written beside them."""

    name: str
    points: Sequence[Point]
    style: Style
    marks: Sequence[tuple[Point, str]] = ()


def framed(
    sheet: Sheet,
    x: Scale,
    y: Scale,
    names: tuple[str, str],
    told: tuple[Callable[[float], str], Callable[[float], str]],
) -> Frame:
    left, right = sorted((x.start, x.end))
    for tick in x.ticks():
        sheet.line([(x(tick), y.start), (x(tick), y.end)], GRID)
        sheet.text((x(tick), y.start + 18), told[0](tick), anchor="middle")
    for tick in y.ticks():
        sheet.line([(left, y(tick)), (right, y(tick))], GRID)
        sheet.text((left - 8, y(tick) + 4), told[1](tick), anchor="end")
    sheet.line([(left, y.end), (left, y.start), (right, y.start)], AXIS)
    sheet.text(((x.start + x.end) / 2, y.start + 40), names[0], anchor="middle", kind="name")
    sheet.text((16, (y.start + y.end) / 2), names[1], anchor="middle", kind="name", turned=True)
    return Frame(sheet, x, y)


def det(sheet: Sheet, series: Sequence[Series], names: tuple[str, str]) -> str:
    """Rates against one another, both on scales of powers of ten. A line ends where nobody is missed any more."""
    series = [replace(one, points=[(x, y) for x, y in one.points if x > 0 and y > 0]) for one in series]
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    if not ys:
        return _nothing(sheet, "There are too few probes for a curve, or nobody was missed.")
    x = Scale(_decade(min(xs)), 1.0, 84, WIDTH - 30, log=True)
    y = Scale(_below(min(ys)), 1.0 if max(ys) > 0.5 else _above(max(ys)), sheet.height - 56, 14, log=True)
    frame = framed(sheet, x, y, names, (percent, percent))
    for one in series:
        sheet.line([(x(a), y(b)) for a, b in one.points], one.style)
    for one in series:
        _marks(frame, one, [other for other in series if other is not one])
    return str(sheet)


def _marks(frame: Frame, one: Series, others: Sequence[Series]) -> None:
    """Of a line that is above the others, above it and to the right; of one below, below it and to the left. The
    line's name is beside the one furthest to the left, or where the line begins."""
    marks = sorted(one.marks) or ([(one.points[0], "")] if one.points else [])
    for number, ((a, b), words) in enumerate(marks):
        at = (frame.x(a), frame.y(b))
        if words:
            frame.sheet.marker(at, one.style)
        rivals = [point[1] for other in others for point, _ in other.marks if point[0] == a]
        below = bool(rivals) and b < max(rivals)
        place = (at[0] - 8, at[1] + 18) if below else (at[0] + 8, at[1] - 9)
        told = f"{one.name} {words}" if number == 0 else words
        frame.sheet.text(place, told, anchor="end" if below else "start", kind="label" if number == 0 else "")


def distributions(
    sheet: Sheet,
    mated: NDArray[np.float64],
    others: NDArray[np.float64],
    names: tuple[str, str],
    thresholds: Sequence[tuple[float, str]],
) -> str:
    """How scores of both kinds lie: shares of each kind, in bins of equal width."""
    mated, others = mated[np.isfinite(mated)], others[np.isfinite(others)]
    if not len(mated) or not len(others):
        return _nothing(sheet, "There are no scores of both kinds.")
    everything = np.concatenate([mated, others])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, 61)
    shares = [np.histogram(one, edges)[0] / len(one) for one in (mated, others)]
    x = Scale(float(edges[0]), float(edges[-1]), 84, WIDTH - 24)
    y = Scale(0.0, 1.15 * float(max(part.max() for part in shares)), sheet.height - 56, 30)
    frame = framed(sheet, x, y, ("score", "share of the kind, a bin"), (plain, percent))
    for part, style, name in zip(shares, (SECOND, FIRST), names, strict=True):
        steps = [(x(edge), y(share)) for i, share in enumerate(part) for edge in (float(edges[i]), float(edges[i + 1]))]
        if style is FIRST:
            sheet.area([(steps[0][0], y.start), *steps, (steps[-1][0], y.start)], "#e4e4e4")
        sheet.line(steps, style)
        top = int(part.argmax())
        sheet.text((x(float(edges[top])), y(float(part[top])) - 8), name, anchor="middle", kind="label")
    for place, (threshold, words) in enumerate(sorted(thresholds)):
        frame.sheet.line([(x(threshold), y.start), (x(threshold), y.end - 14)], Style(width=1.1))
        left = place == 0 and len(thresholds) > 1
        at = (x(threshold) + (-5 if left else 5), y.end - 4 + 16 * max(0, place - 1))
        frame.sheet.text(at, words, anchor="end" if left else "start")
    return str(sheet)


@dataclass(frozen=True, slots=True)
class Dot:
    """A rate with its interval; `value` is None where there is none to state."""

    value: float | None
    low: float
    high: float


def dots(
    sheet: Sheet,
    rows: Sequence[tuple[str, Sequence[Dot | None]]],
    styles: Sequence[tuple[str, Style]],
    name: str,
    told: Callable[[float], str],
    *,
    log: bool,
    line: tuple[float, str] | None = None,
) -> str:
    """A row for each group, and in it a marker with its interval for each kind of score. On a scale of powers of ten a
    bar whose lower end is next to nothing runs to the edge."""
    there = [dot for _, group in rows for dot in group if dot]
    if not there:
        return _nothing(sheet, "There are too few pairs for rates of groups.")
    left = 30 + 7.6 * max(len(label) for label, _ in rows)
    top, bottom = 44, sheet.height - 56
    if log:
        seen = min(dot.value or dot.high for dot in there)
        lowest = max(seen / 8, min([dot.low for dot in there if dot.low], default=seen))
        x = Scale(_below(min(seen, lowest)), _above(max(dot.high for dot in there)), left, WIDTH - 30, log=True)
    else:
        x = Scale(math.floor(20 * min(dot.low for dot in there)) / 20, 1.0, left, WIDTH - 30)
    for tick in x.ticks():
        sheet.line([(x(tick), bottom), (x(tick), top - 6)], GRID)
        sheet.text((x(tick), bottom + 18), told(tick), anchor="middle")
    sheet.line([(x.start, bottom), (x.end, bottom)], AXIS)
    sheet.text(((x.start + x.end) / 2, bottom + 40), name, anchor="middle", kind="name")
    if line:
        sheet.line([(x(line[0]), bottom), (x(line[0]), top - 6)], Style(dash="2 3", width=1.4))
        sheet.text((x(line[0]), top - 12), line[1], anchor="middle")
    _legend(sheet, styles)
    pitch = (bottom - top) / len(rows)
    for number, (label, group) in enumerate(rows):
        middle = top + (number + 0.5) * pitch
        sheet.text((x.start - 12, middle + 4), label, anchor="end")
        sheet.line([(x.start, middle), (x.end, middle)], GRID)
        for n, (dot, (_, style)) in enumerate(zip(group, styles, strict=True)):
            if dot:
                _dot(sheet, x, dot, middle + (n - (len(styles) - 1) / 2) * 11, style)
    return str(sheet)


def _dot(sheet: Sheet, x: Scale, dot: Dot, at: float, style: Style) -> None:
    bar = Style(width=1.6, shade=style.shade)
    low, high = x(dot.low) if dot.low > x.low else x.start, x(dot.high)
    sheet.line([(low, at), (high, at)], bar)
    for end in (low, high) if dot.low > x.low else (high,):
        sheet.line([(end, at - 3.5), (end, at + 3.5)], bar)
    if dot.value:
        sheet.marker((x(dot.value), at), style)


def _legend(sheet: Sheet, styles: Sequence[tuple[str, Style]]) -> None:
    place = 12.0
    for name, style in styles:
        sheet.marker((place, 12), style)
        sheet.text((place + 12, 16), name, kind="label")
        place += 34 + 7.4 * len(name)


def curves(sheet: Sheet, series: Sequence[Series], names: tuple[str, str]) -> str:
    """Of groups, over a threshold that falls to the right, each with its name at its end."""
    series = [one for one in series if len(one.points) > 1]
    ys = [y for one in series for _, y in one.points]
    if not ys:
        return _nothing(sheet, "There are too few pairs for curves of groups.")
    xs = [x for one in series for x, _ in one.points]
    right = WIDTH - 34 - 7.6 * max(len(one.name) for one in series)
    x = Scale(min(xs), max(xs), right, 84)
    y = Scale(_below(min(ys)), _above(max(ys)), sheet.height - 56, 14, log=True)
    framed(sheet, x, y, names, (plain, percent))
    ends = [y(one.points[-1][1]) for one in series]
    for number, (one, end, place) in enumerate(zip(series, ends, spread_out(ends, 17, y.end, y.start), strict=True)):
        style = Style(dash=_DASHES[number % len(_DASHES)], width=2.0 if number < len(_DASHES) else 1.2)
        sheet.line([(x(a), y(b)) for a, b in one.points], style)
        sheet.line([(x(one.points[-1][0]), end), (right + 10, place)], GRID)
        sheet.text((right + 14, place + 4), one.name, kind="label")
    return str(sheet)


def _nothing(sheet: Sheet, why: str) -> str:
    sheet.text((WIDTH / 2, sheet.height / 2), why, anchor="middle", kind="name")
    return str(sheet)


def _decade(value: float) -> float:
    return 10.0 ** math.floor(math.log10(value) + 1e-9)


def _below(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    return max(k * _decade(value) for k in (1, 2, 5) if k * _decade(value) <= value * (1 + 1e-9))


def _above(value: float) -> float:
    return min(k * _decade(value) for k in (1, 2, 5, 10) if k * _decade(value) >= value * (1 - 1e-9))
