"""The use case `overt evaluate equity`: error rates of groups at one threshold for all, by ISO/IEC 19795-10."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from overt_lab.evaluate import spread
from overt_lab.evaluate.groups import Compared, Equity, Group, Level, Rate, Shares
from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.metrics import FEWEST_EXPECTED_ERRORS, Mated, allowed_errors, just_above
from overt_lab.evaluate.scores import Places, Scorer
from overt_lab.evaluate.verdict import (
    SMALLEST_POINTS,
    SMALLEST_RATIO,
    Judged,
    Verdict,
    judge,
    power_of_points,
    power_of_ratio,
)
from overt_lab.evaluate.within import Within, within_groups

FMRS = (1e-3, 1e-4)
HIGHEST_SHOWN = 1e-2
_STEPS = 60


def compare(labels: Labels, by: Sequence[str], scorers: Sequence[Scorer]) -> Equity:
    """`scorers`: of the templates of all pictures, in the order of the labels."""
    templates = scorers[0].templates
    return Equity(
        by=tuple(by),
        compared=tuple(_compared(labels, scorer) for scorer in scorers),
        pictures=len(labels),
        people=labels.people,
        named=labels.named,
        left_out=labels.left_out,
        fte=int(templates.missing.sum()),
        undecodable=templates.undecodable,
    )


def _compared(labels: Labels, scorer: Scorer) -> Compared:
    within = within_groups(labels, scorer)
    return Compared(scorer.name, tuple(_level(labels, within, fmr) for fmr in FMRS), _shares(labels, within))


def _level(labels: Labels, within: Within, fmr: float) -> Level:
    impostors = int(within.impostors.sum())
    threshold = just_above(within.scores, allowed_errors(fmr, impostors))
    matching = int(np.searchsorted(-within.scores, -threshold, side="right"))
    known = fmr * impostors >= FEWEST_EXPECTED_ERRORS
    people, hits = labels.subjects[within.genuine_first], within.genuine >= threshold
    groups = tuple(
        Group(
            name,
            pictures=int((labels.groups == group).sum()),
            people=len(np.unique(labels.subjects[labels.groups == group])),
            expected_false_matches=fmr * int(within.impostors[group]),
            fmr=false,
            tmr=true,
        )
        for group, (name, false, true) in enumerate(
            zip(
                labels.group_names,
                _false_matches(labels, within, matching, fmr),
                _true_matches(people, labels.groups[within.genuine_first], len(within.impostors), hits, known),
                strict=True,
            )
        )
    )
    (everybody,) = _true_matches(people, np.zeros_like(people), 1, hits, known)
    return Level(
        fmr,
        threshold if known and math.isfinite(threshold) else None,
        impostors,
        matching,
        groups,
        everybody,
        _judge_false(groups, fmr),
        _judge_true(groups, everybody),
    )


def _false_matches(labels: Labels, within: Within, matching: int, fmr: float) -> list[Rate]:
    first, second = within.first[:matching], within.second[:matching]
    where = labels.groups[first]
    effects, events = [], []
    for group in range(len(within.impostors)):
        here = where == group
        pictures = np.bincount(labels.subjects[labels.groups == group], minlength=labels.people)
        events.append(int(here.sum()))
        effects.append(spread.between_people(labels.subjects[first[here]], labels.subjects[second[here]], pictures))
    # Where there are few events, their clustering cannot be seen either: then that of the others counts.
    usual = float(np.average(effects, weights=events)) if sum(events) else 1.0
    found = []
    for count, effect, trials in zip(events, effects, within.impostors.tolist(), strict=True):
        if fmr * trials < FEWEST_EXPECTED_ERRORS:
            found.append(Rate.unknown(count, trials))
        else:
            effect = max(effect, usual) if count < spread.FEW_EVENTS else effect
            found.append(Rate.of(count, trials, effect, len(events)))
    return found


def _true_matches(people: Places, groups: Places, count: int, matched: Mated, known: bool) -> list[Rate]:
    """`people`, `groups`: int64[pairs], whose each pair is, and the place of the group among `count`."""
    hits = [matched[groups == group] for group in range(count)]
    effects = [spread.of_people(people[groups == group], hits[group]) for group in range(count)]
    misses = [int((~hit).sum()) for hit in hits]
    # As above; and where nobody at all was missed, a person's pairs are taken for one.
    whole = len(people) / max(1, len(np.unique(people)))
    usual = float(np.average(effects, weights=misses)) if sum(misses) else whole
    found = []
    for hit, effect, missed in zip(hits, effects, misses, strict=True):
        if known and len(hit):
            effect = max(effect, usual) if missed < spread.FEW_EVENTS else effect
            found.append(Rate.of(int(hit.sum()), len(hit), effect, count))
        else:
            found.append(Rate.unknown(int(hit.sum()), len(hit)))
    return found


def _judge_false(groups: Sequence[Group], fmr: float) -> Judged:
    intervals = [group.fmr.together for group in groups if group.fmr.together]
    short = [group.name for group in groups if group.fmr.value is None]
    return judge(
        intervals,
        short=short,
        silent=[group.name for group in groups if not group.fmr.events],
        power=0.0 if short else power_of_ratio([group.fmr.worth for group in groups], fmr),
        what=f"a rate {SMALLEST_RATIO:g} times the others'",
    )


def _judge_true(groups: Sequence[Group], everybody: Rate) -> Judged:
    intervals = [group.tmr.together for group in groups if group.tmr.together]
    short = [group.name for group in groups if group.tmr.value is None]
    if not everybody.trials:
        return Judged(Verdict.INSUFFICIENT, None, "nobody has two pictures in this set")
    power = 0.0
    if not short and everybody.value is not None:
        power = power_of_points([group.tmr.worth for group in groups], everybody.value)
    return judge(
        intervals,
        short=short,
        silent=[],
        power=power,
        what=f"a rate {100 * SMALLEST_POINTS:g} points below the others'",
    )


def _shares(labels: Labels, within: Within) -> Shares:
    """From the lowest pooled rate that can be told to HIGHEST_SHOWN."""
    last = allowed_errors(HIGHEST_SHOWN, int(within.impostors.sum()))
    last = min(last, len(within.scores))
    if last < FEWEST_EXPECTED_ERRORS:
        return Shares(np.empty(0), np.empty((len(within.impostors), 0)))
    ranks = np.unique(np.geomspace(FEWEST_EXPECTED_ERRORS, last, _STEPS).round().astype(np.int64))
    of_group = labels.groups[within.first]
    counts = np.array([np.cumsum(of_group == group)[ranks - 1] for group in range(len(within.impostors))])
    trials = np.maximum(1, within.impostors)[:, None]
    return Shares(within.scores[ranks - 1], np.where(counts >= FEWEST_EXPECTED_ERRORS, counts / trials, np.nan))
