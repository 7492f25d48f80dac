"""What `overt evaluate verification` prints. Rates in per cent; the JSON has them as fractions."""

from __future__ import annotations

from collections.abc import Sequence

from overt_lab.evaluate.metrics import FEWEST_EXPECTED_ERRORS, FOLDS, OperatingPoint
from overt_lab.evaluate.verification import Parity, Verified, named
from overt_lab.wording import counted

_LABEL, _COLUMN = 20, 34


def text(runs: Sequence[tuple[str, Verified]], parity: Parity | None) -> str:
    """A column for each run, named by what ran; then how far the first is from the second."""
    first = runs[0][1]
    lines = [
        f"{counted(first.pairs, 'pair', 'pairs')} ({first.mated} of one person, {first.pairs - first.mated} of two) "
        f"of {counted(first.pictures, 'picture', 'pictures')}; raw cosine, uncalibrated",
        "",
        _row("", [name for name, _ in runs]),
        _row("accuracy, 10 folds", [_accuracy(run) for _, run in runs]),
        _row("failures to enrol", [_failures(run) for _, run in runs]),
    ]
    if first.undecodable:
        lines.append(_row("no JPEG or PNG", [str(run.undecodable) for _, run in runs]))
    for rows in zip(*(run.raw.points for _, run in runs), strict=True):
        lines.append(_row(f"TMR at FMR {named(rows[0].fmr)}", [_point(point) for point in rows]))
    if parity is not None:
        lines += ["", _parity(parity)]
    return "\n".join(lines)


def _row(label: str, cells: Sequence[str]) -> str:
    return (label.ljust(_LABEL) + "".join(cell.ljust(_COLUMN) for cell in cells)).rstrip()


def _accuracy(run: Verified) -> str:
    fold = run.raw.accuracy
    if fold is None:
        return f"- (takes {FOLDS} pairs of each kind)"
    return f"{100 * fold.mean:.2f} % (sd {100 * fold.standard_deviation:.2f}, {fold.wrong} wrong)"


def _failures(run: Verified) -> str:
    return f"{run.fte}, in {counted(run.pairs_with_fte, 'pair', 'pairs')}" if run.fte else "0"


def _point(point: OperatingPoint) -> str:
    if point.tmr is None:
        return f"- ({point.expected_false_matches:.2g} errors expected, not {FEWEST_EXPECTED_ERRORS})"
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
