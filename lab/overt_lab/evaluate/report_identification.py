"""What `overt evaluate identification` prints. Rates in per cent; the JSON has them as fractions."""

from __future__ import annotations

from overt.scoring import Interval

from overt_lab.evaluate.identification import FPIRS, Identified, OverLists
from overt_lab.evaluate.metrics import OperatingPoint, named
from overt_lab.evaluate.scores import Against
from overt_lab.evaluate.wording import AS_THEY_ARE, KINDS, NOTHING, grid, of_score, share, too_few, warnings
from overt_lab.wording import counted


def text(found: Identified, ran: str, against: Against | None, several: OverLists | None = None) -> str:
    """Who was searched for whom, then the rates of each kind of score."""
    drawn = found.drawn
    lines = [
        f"{counted(found.pictures, 'picture', 'pictures')} of {found.people} people; watchlist of "
        f"{len(drawn.entries)}, {counted(len(drawn.mated), 'probe', 'probes')} of {found.listed_and_searched} of them, "
        f"{len(drawn.non_mated)} of people who are not on it",
        f"{ran}; {of_score(against)}",
        *warnings(against),
        "",
        *grid(_table(found)),
    ]
    lines += as_they_are(found)
    if several is not None:
        rows = [["", *(f"FPIR {named(fpir)}" for fpir in FPIRS)]]
        rows += [[name, *map(share, means)] for name, means in several.means.items()]
        lines += ["", f"mean TPIR of {several.lists} lists of the same people", *grid(rows)]
    if found.undecodable:
        lines.append(f"no JPEG or PNG: {found.undecodable}")
    return "\n".join(lines)


def as_they_are(found: Identified) -> list[str]:
    """What it would be if references were not mirrored, a line for each kind of score."""
    return [
        f"{AS_THEY_ARE}, {KINDS[one.name]}: TPIR at FPIR "
        + ", ".join(f"{named(point.fmr)} {share(point.tmr)} ({point.missed} missed)" for point in one.points)
        for one in found.unmirrored
    ]


def _table(found: Identified) -> list[list[str]]:
    """A column for each kind of score."""
    rows = [["", *(KINDS[one.name] for one in found.searched)]]
    for points in zip(*(zip(one.points, one.intervals, strict=True) for one in found.searched), strict=True):
        rows.append([f"TPIR at FPIR {named(points[0][0].fmr)}", *(_point(point, ci) for point, ci in points)])
    mated = len(found.drawn.mated)
    ranks = [share(one.rank_one / mated) if mated else NOTHING for one in found.searched]
    failures = (
        f"{found.fte_references} of the list, {found.fte_mated} mated probes, {found.fte_non_mated} others"
        if found.fte
        else "0"
    )
    return [*rows, ["best is the right one", *ranks], ["failures to enrol", *[failures] * len(ranks)]]


def _point(point: OperatingPoint, ci: Interval | None) -> str:
    counts = f"{point.missed} missed, {counted(point.false_matches, 'false positive', 'false positives')}"
    if point.tmr is None:
        return f"{NOTHING} ({too_few(point.expected_false_matches)}; {counts})"
    at = "any score" if point.threshold is None else f"{point.threshold:.3f}"
    return f"{share(point.tmr, ci)}, from {at}, {counts}"
