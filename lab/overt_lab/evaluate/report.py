"""What `overt evaluate verification` prints. Rates in per cent; the JSON has them as fractions."""

from __future__ import annotations

from collections.abc import Sequence

from overt_lab.evaluate.metrics import FOLDS, OperatingPoint, named
from overt_lab.evaluate.scores import Against
from overt_lab.evaluate.verification import Parity, Rates, Verified
from overt_lab.evaluate.wording import AS_THEY_ARE, KINDS, of_score, row, too_few, warnings
from overt_lab.wording import counted


def text(runs: Sequence[tuple[str, Verified]], parity: Parity | None, against: Against | None) -> str:
    """A column for each run and kind of score, named by what ran; then how far the first is from the second."""
    first = runs[0][1]
    columns = [(name, run, rates) for name, run in runs for rates in run.rates]
    lines = [
        f"{counted(first.pairs, 'pair', 'pairs')} ({first.mated} of one person, {first.pairs - first.mated} of two) "
        f"of {counted(first.pictures, 'picture', 'pictures')}; {of_score(against)}",
        *warnings(against),
        "",
        row("", [name if against is None else f"{name}, {KINDS[rates.name]}" for name, _, rates in columns]),
        row("accuracy, 10 folds", [_accuracy(rates) for _, _, rates in columns]),
        row("failures to enrol", [_failures(run) for _, run, _ in columns]),
    ]
    if first.undecodable:
        lines.append(row("no JPEG or PNG", [str(run.undecodable) for _, run, _ in columns]))
    for points in zip(*(rates.points for _, _, rates in columns), strict=True):
        lines.append(row(f"TMR at FMR {named(points[0].fmr)}", [_point(point) for point in points]))
    lines += as_they_are(first)
    if parity is not None:
        lines += ["", _parity(parity)]
    return "\n".join(lines)


def as_they_are(run: Verified) -> list[str]:
    """What it would be if references were not mirrored, a line for each kind of score."""
    return [f"{AS_THEY_ARE}, {KINDS[rates.name]}: {_accuracy(rates)}" for rates in run.unmirrored]


def _accuracy(rates: Rates) -> str:
    fold = rates.accuracy
    if fold is None:
        return f"- (takes {FOLDS} pairs of each kind)"
    return f"{100 * fold.mean:.2f} % (sd {100 * fold.standard_deviation:.2f}, {fold.wrong} wrong)"


def _failures(run: Verified) -> str:
    return f"{run.fte}, in {counted(run.pairs_with_fte, 'pair', 'pairs')}" if run.fte else "0"


def _point(point: OperatingPoint) -> str:
    if point.tmr is None:
        return f"- ({too_few(point.expected_false_matches)})"
    at = "any score" if point.threshold is None else f"{point.threshold:.3f}"
    return f"{100 * point.tmr:.2f} % (from {at}, {point.missed} missed)"


def _parity(parity: Parity) -> str:
    difference = parity.difference_points
    points = "too few pairs for accuracies" if difference is None else f"{difference:+.2f} points of accuracy"
    if parity.cosine_min is None or parity.cosine_median is None:
        return f"first to second: {points}; no picture has a template of both"
    return (
        f"first to second: {points}; cosine of a picture's two templates: "
        f"smallest {parity.cosine_min:.5f}, median {parity.cosine_median:.5f}"
    )
