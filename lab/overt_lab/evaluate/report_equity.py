"""What `overt evaluate equity` prints."""

from __future__ import annotations

from overt_lab.evaluate.groups import Compared, Equity, Level
from overt_lab.evaluate.metrics import named
from overt_lab.evaluate.scores import Against
from overt_lab.evaluate.wording import KINDS, grid, in_ten_thousand, of_score, one_in, share, times, warnings
from overt_lab.wording import counted


def text(found: Equity, ran: str, against: Against | None) -> str:
    """First the verdicts of every score side by side, then a table of the groups for each."""
    names = len(found.ships.levels[0].groups)
    who = f"{found.people} people" if found.named else "nobody named, so that each is taken for another person"
    lines = [
        f"{counted(found.pictures, 'picture', 'pictures')} of {who}; {names} groups by {', '.join(found.by)}",
        f"{ran}; {of_score(against)}",
    ]
    if found.left_out:
        lines.append(f"left out: {counted(found.left_out, 'picture', 'pictures')} without a label")
    if found.fte:
        lines.append(f"failures to enrol: {found.fte}, of which {found.undecodable} are no JPEG or PNG")
    lines += [*warnings(against), "", *grid(_summary(found)), ""]
    for compared in found.compared:
        for level in compared.levels:
            lines += [*_level(compared, level), ""]
    return "\n".join(lines[:-1])


def _summary(found: Equity) -> list[list[str]]:
    head = ["", "highest / lowest FMR", "at least", "highest / geometric mean", "TMR", "verdict"]
    return [
        head,
        *(
            [
                f"{KINDS[compared.name]}, FMR {named(level.fmr)}",
                times(level.max_over_min),
                times(level.at_least),
                times(level.max_over_geomean),
                share(level.tmr.value),
                level.judged.verdict.value,
            ]
            for compared in found.compared
            for level in compared.levels
        ),
    ]


def _level(compared: Compared, level: Level) -> list[str]:
    at = "too few pairs for a threshold" if level.threshold is None else f"threshold {level.threshold:.3f}"
    table = [["", "pictures", "people", "FMR in 10,000 (95 %)", "false / pairs", "TMR (95 %)", "pairs"]]
    for group in level.groups:
        table.append(
            [
                group.name,
                str(group.pictures),
                str(group.people),
                in_ten_thousand(group.fmr.value, group.fmr.by_person),
                f"{group.fmr.events} / {group.fmr.trials}",
                share(group.tmr.value, group.tmr.by_person),
                str(group.tmr.trials),
            ]
        )
    return [
        f"{KINDS[compared.name]}, FMR {named(level.fmr)} ({one_in(level.fmr)}) over all groups, {at}",
        *grid(table),
        f"  false matches: {level.judged.verdict.value} ({level.judged.why})",
        f"  recognition:   {level.tmr_judged.verdict.value} ({level.tmr_judged.why})",
    ]
