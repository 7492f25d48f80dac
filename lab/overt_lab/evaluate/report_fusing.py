"""What `overt evaluate fusing` prints. Rates in per cent; the JSON has them as fractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overt_lab.evaluate.fusing import FMRS, IN_USE, Case, Point
from overt_lab.evaluate.scores import Against
from overt_lab.evaluate.wording import NOTHING, grid, of_score, one_in, share

HEAD = ("", *(cell for fmr in FMRS for cell in (f"strangers {one_in(fmr)}", "missed", "missed at its own")))


def text(cases: Sequence[Case], ran: str, against: Against | None) -> str:
    """A table for each case."""
    lines = [
        f"{ran}; {of_score(against)}",
        "at the score that strangers reach at these rates with one shot and one reference: how many times as often "
        "they reach it, and how many are missed; then how many are missed where strangers are as rare as with one",
    ]
    for case in cases:
        rows = [HEAD, *((_name(case, name), *_cells(points)) for name, points in case.rules.items())]
        lines += ["", f"{case.count} {case.kind}, {case.people} people", *grid(rows)]
    return "\n".join(lines)


def rows(case: Case) -> list[list[str]]:
    """For the page."""
    return [[_name(case, name), *_cells(points)] for name, points in case.rules.items()]


def _name(case: Case, rule: str) -> str:
    return f"{rule} (in use)" if IN_USE[case.kind] == rule else rule


def _cells(points: Sequence[Point]) -> Iterator[str]:
    for point in points:
        yield NOTHING if point.times is None else f"x {point.times:.2f}"
        yield share(point.missed)
        yield share(point.missed_at_own)
