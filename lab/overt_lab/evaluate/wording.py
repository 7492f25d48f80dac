"""How rates and what they rest on are told to people, on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from overt.scoring import Interval

from overt_lab.evaluate.metrics import FEWEST_EXPECTED_ERRORS
from overt_lab.evaluate.scores import NORMALISED, RAW, Against
from overt_lab.wording import counted

NOTHING = "–"

AS_THEY_ARE = "With references as they are"
"""Beside the score that ships: what mirrored references gain."""

KINDS = {RAW: "raw cosine", NORMALISED: "normalised"}


def share(rate: float | None, ci: Interval | None = None) -> str:
    """In per cent, with its interval: `91.25 % (88.10 to 93.77)`."""
    if rate is None:
        return NOTHING
    return f"{100 * rate:.2f} %" + (f" ({100 * ci.low:.2f} to {100 * ci.high:.2f})" if ci else "")


def in_ten_thousand(rate: float | None, ci: Interval | None = None) -> str:
    """Small rates, as so many of 10,000: `6.6 (2.1 to 15)`."""
    if rate is None:
        return NOTHING
    return _two(1e4 * rate) + (f" ({_two(1e4 * ci.low)} to {_two(1e4 * ci.high)})" if ci else "")


def _two(value: float) -> str:
    """Two digits that count, or all before the point."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def times(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.1f}×" if ratio < 99.95 else f"{ratio:.0f}×"


def one_in(rate: float) -> str:
    """1e-3 is `1 in 1,000`."""
    return f"1 in {round(1 / rate):,}"


def too_few(expected: float) -> str:
    return f"{expected:.2g} errors expected, not {FEWEST_EXPECTED_ERRORS}"


def of_score(against: Against | None) -> str:
    """Which score ships, in a line."""
    if against is None:
        return "raw cosine, uncalibrated"
    return (
        f"normalised against {counted(against.people, 'person', 'people')} ({against.templates} pictures) of "
        f"{against.file}, K {against.best}, a {against.a:g}, b {against.b:g}"
    )


def warnings(against: Against | None) -> list[str]:
    """What a reader must know before anything else."""
    if against is None or not against.seen_in_it:
        return []
    which = counted(against.seen_in_it, "of these pictures is", "of these pictures are")
    return [
        f"{which} in the cohort as well: normalised figures of the cohort's own people are not to be relied on; "
        "evaluate with other people"
    ]


def row(label: str, cells: Sequence[str], width: int = 20, column: int = 34) -> str:
    """Of a table on a terminal."""
    return (label.ljust(width) + "".join(cell.ljust(column) for cell in cells)).rstrip()


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as wide as its cells: the first column to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        (
            cells[0].ljust(widths[0]) + "".join(f"  {cell:>{w}}" for cell, w in zip(cells[1:], widths[1:], strict=True))
        ).rstrip()
        for cells in rows
    ]
