"""The report of `overt evaluate equity`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from overt_lab.evaluate.groups import Compared, Equity, Group, Level, Rate
from overt_lab.evaluate.metrics import named
from overt_lab.evaluate.page.document import answers, document, figure, listing, paragraph, section, table
from overt_lab.evaluate.page.plots import SECOND, WIDTH, Dot, Series, curves, dots
from overt_lab.evaluate.page.setting import Setting, styles
from overt_lab.evaluate.page.svg import Sheet, percent
from overt_lab.evaluate.verdict import ENOUGH_POWER, SMALLEST_POINTS, SMALLEST_RATIO, Verdict
from overt_lab.evaluate.wording import KINDS, NOTHING, in_ten_thousand, one_in, share, times
from overt_lab.wording import counted

_HEAD = ["group", "pictures", "people", "FMR", "95 %, pairs", "95 %, by person", "false / pairs"]
_HEAD += ["TMR", "95 %, by person", "pairs"]


def page(found: Equity, setting: Setting) -> str:
    level = found.ships.levels[0]
    groups = len(level.groups)
    numbers = count(1)
    who = f"of {found.people:,} people" if found.named else "each taken for another person"
    return document(
        kind="Overt · evaluation · equity, after ISO/IEC 19795-10",
        title="Does one threshold err equally often for everybody?",
        lead=f"{found.pictures:,} pictures {who}, in {groups} groups by {' and '.join(found.by)} as they are labelled. "
        f"The figures at the top are those of the score that ships: {KINDS[found.ships.name]}.",
        parts=[
            *setting.first(),
            answers(_answers(level)),
            section("In short", *_short(found)),
            *(_level(found, n, numbers) for n in range(len(found.ships.levels))),
            section("At every threshold", _curves(found, next(numbers))),
            section("How it was measured", listing(_how(found))),
            setting.section(),
        ],
    )


def _answers(level: Level) -> list[tuple[str, str, str]]:
    ratio = level.max_over_min
    known = [group for group in level.groups if group.entering is not None]
    beside = "too few pairs for a rate of every group"
    if ratio is not None:
        worst, best = (choose(known, key=lambda g: g.entering or 0.0) for choose in (max, min))
        beside = f"{worst.name} over {best.name}; at least {times(level.at_least)}"
    tmr = level.tmr
    return [
        (
            f"Verdict, at a false-match rate of {one_in(level.fmr)}",
            level.judged.verdict.value.capitalize(),
            level.judged.why,
        ),
        ("False matches, highest over lowest group", times(ratio), beside),
        (
            "Recognised, all groups together",
            share(tmr.value),
            f"{100 * tmr.by_person.low:.1f} to {100 * tmr.by_person.high:.1f} %"
            if tmr.by_person
            else level.tmr_judged.why,
        ),
        ("Verdict on recognition", level.tmr_judged.verdict.value.capitalize(), level.tmr_judged.why),
    ]


def _short(found: Equity) -> list[str]:
    rows = [
        [
            f"{KINDS[compared.name]}, FMR {named(level.fmr)}",
            times(level.max_over_min),
            times(level.at_least),
            times(level.max_over_geomean),
            share(level.tmr.value, level.tmr.by_person),
            level.judged.verdict.value,
        ]
        for compared in found.compared
        for level in compared.levels
    ]
    head = ["", "highest / lowest", "at least (95 %)", "highest / geometric mean", "recognised (TMR)", "verdict"]
    parts = [table("False-match rates of groups against one another, and recognition", head, rows)]
    if len(found.compared) > 1:
        parts.append(paragraph(_traded(found)))
    return parts


def _traded(found: Equity) -> str:
    """What normalisation does to both at the first rate."""
    raw, ships = found.compared[0].levels[0], found.ships.levels[0]
    if None in (raw.max_over_min, ships.max_over_min):
        return "There are too few pairs to say what normalisation changes."
    told = (
        f"What normalisation changes, at FMR {named(ships.fmr)}: the highest over the lowest false-match rate from "
        f"{times(raw.max_over_min)} to {times(ships.max_over_min)}"
    )
    if raw.tmr.value is None or ships.tmr.value is None:
        return f"{told}. Nobody has two pictures in this set, so what it does to recognition is not known."
    points = 100 * (ships.tmr.value - raw.tmr.value)
    return f"{told}; recognition from {share(raw.tmr.value)} to {share(ships.tmr.value)} ({points:+.2f} points)."


def _level(found: Equity, n: int, numbers: Iterator[int]) -> str:
    level = found.ships.levels[n]
    parts = [
        paragraph(f"False matches: {level.judged.verdict.value}; {level.judged.why}."),
        paragraph(f"Recognition: {level.tmr_judged.verdict.value}; {level.tmr_judged.why}."),
    ]
    if _any(found, n, "fmr"):
        told = (
            f"False-match rate of each group at the one threshold at which {one_in(level.fmr)} of all pairs within "
            "groups match (dotted line). Bars: 95 %, by person. A bar without a marker: no false match was counted, "
            "the bar ends at the upper limit."
        )
        parts.append(figure(next(numbers), _false(found, n), told))
    if _any(found, n, "tmr"):
        told = "True-match rate of each group at the same threshold. Bars: 95 %, by person."
        parts.append(figure(next(numbers), _true(found, n), told))
    tables = (_table(compared, compared.levels[n]) for compared in found.compared)
    return section(f"At a false-match rate of {one_in(level.fmr)}", *parts, *tables)


def _any(found: Equity, n: int, of: str) -> bool:
    """Whether there is a rate to draw."""
    return any(dot for _, dots_of_group in _rows(found, n, of) for dot in dots_of_group)


def _table(compared: Compared, level: Level) -> str:
    at = "no threshold: too few pairs" if level.threshold is None else f"threshold {level.threshold:.3f}"
    return table(
        f"{KINDS[compared.name].capitalize()}, {at}. False-match rates in 10,000 pairs",
        _HEAD,
        [_row(group) for group in level.groups],
        kind="full",
    )


def _row(group: Group) -> list[str]:
    def bare(rate: Rate, of_pairs: bool = False) -> str:
        ci = rate.ci if of_pairs else rate.by_person
        return NOTHING if ci is None else in_ten_thousand(0.0, ci).partition("(")[2].rstrip(")")

    tmr = group.tmr.by_person
    return [
        group.name,
        f"{group.pictures:,}",
        f"{group.people:,}",
        in_ten_thousand(group.fmr.value),
        bare(group.fmr, of_pairs=True),
        bare(group.fmr),
        f"{group.fmr.events:,} / {group.fmr.trials:,}",
        share(group.tmr.value),
        NOTHING if tmr is None else f"{100 * tmr.low:.1f} to {100 * tmr.high:.1f}",
        f"{group.tmr.trials:,}",
    ]


def _height(found: Equity) -> int:
    pitch = 26 if len(found.compared) == 1 else 32
    return 100 + pitch * len(found.ships.levels[0].groups)


def _rows(found: Equity, n: int, of: str) -> list[tuple[str, list[Dot | None]]]:
    rows = []
    for place, group in enumerate(found.ships.levels[n].groups):
        rates: list[Rate] = [getattr(compared.levels[n].groups[place], of) for compared in found.compared]
        rows.append(
            (
                group.name,
                [
                    Dot(rate.value, rate.by_person.low, rate.by_person.high) if rate.by_person else None
                    for rate in rates
                ],
            )
        )
    return rows


def _false(found: Equity, n: int) -> str:
    level = found.ships.levels[n]
    told = "; ".join(f"{group.name} {in_ten_thousand(group.fmr.value)} in 10,000" for group in level.groups)
    sheet = Sheet(
        WIDTH, _height(found), "False-match rate of each group", f"{KINDS[found.ships.name]}: {told}", f"fmr{n}"
    )
    kinds = styles([compared.name for compared in found.compared])
    line = (level.fmr, "all groups")
    return dots(
        sheet, _rows(found, n, "fmr"), kinds, "false matches in 10,000 pairs", in_ten_thousand, log=True, line=line
    )


def _true(found: Equity, n: int) -> str:
    level = found.ships.levels[n]
    told = "; ".join(f"{group.name} {share(group.tmr.value)}" for group in level.groups)
    sheet = Sheet(
        WIDTH, _height(found), "True-match rate of each group", f"{KINDS[found.ships.name]}: {told}", f"tmr{n}"
    )
    kinds = styles([compared.name for compared in found.compared])
    return dots(sheet, _rows(found, n, "tmr"), kinds, "true-match rate (TMR)", percent, log=False)


def _curves(found: Equity, number: int) -> str:
    shares = found.ships.shares
    names = [group.name for group in found.ships.levels[0].groups]
    series = []
    for name, rates in zip(names, shares.fmr, strict=True):
        there = np.isfinite(rates)
        points = list(zip(shares.thresholds[there].tolist(), rates[there].tolist(), strict=True))
        series.append(Series(name, points, SECOND))
    ends = "; ".join(f"{one.name} {percent(round(one.points[-1][1], 5))}" for one in series if one.points)
    sheet = Sheet(WIDTH, 440, "False-match rate of each group by threshold", f"At the lowest: {ends}", "curves")
    told = (
        f"False-match rate of each group by threshold ({KINDS[found.ships.name]}), from a strict one on the left to a "
        "loose one on the right. One threshold is a vertical line: the further apart the curves, the less equal it is. "
        "A curve begins where a group has five false matches."
    )
    if not ends:
        return paragraph("There are too few pairs for curves of groups.")
    return figure(number, curves(sheet, series, ("threshold, falling", "false-match rate (FMR)")), told)


def _how(found: Equity) -> list[str]:
    items = [
        "Groups are what the labels say. Nothing of Overt guesses anybody's group, here or in use.",
        "Pairs are made within groups only: a stranger of one's own group is the likeliest to be taken for one. The "
        "threshold is the same for everybody: the lowest at which the false-match rate over all of these pairs "
        "together is not above the stated one.",
        "A group without a false match enters the ratios with its upper limit, and the verdict is `insufficient "
        "evidence`, as it is where fewer than five false matches are expected in a group: its rate is then not stated.",
        "Intervals of pairs (Clopper and Pearson) take every pair for a toss of its own. One person is in many pairs, "
        "so those by person are the ones to go by: of as many pairs as these are worth (dyadic cluster-robust "
        "variance, Aronow, Samii and Assenova 2015; effective counts, Korn and Graubard 1998).",
        "A difference is shown where the intervals of two groups, at a confidence at which those of all groups hold "
        "together (Bonferroni), do not touch. `At least` is what the ratio is by them at the least.",
        f"That no difference is shown counts for something only if one group's rate {SMALLEST_RATIO:g} times the "
        f"others' (or {100 * SMALLEST_POINTS:g} points of recognition) would be shown with a chance of "
        f"{100 * ENOUGH_POWER:.0f} %. With less the verdict is `{Verdict.INSUFFICIENT.value}`.",
        "The face nearest a picture's centre is taken, whatever its quality. A pair without a template never matches "
        f"and stays in the denominator: {counted(found.fte, 'picture', 'pictures')} gave none.",
        "Groups of a set may also differ in their pictures: age of the picture, light, pose. This report cannot tell "
        "that from a difference of the model.",
    ]
    if not found.named:
        items.insert(
            1,
            "The set does not say who is who: every picture is taken for another person, and there is no "
            "true-match rate. Two pictures of one person would count as a false match.",
        )
    if found.left_out:
        items.insert(1, f"{counted(found.left_out, 'picture was', 'pictures were')} left out for want of a label.")
    return items
