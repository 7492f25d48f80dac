"""Error rates of groups at one threshold for all of them, and their fields in `--json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from overt.scoring import CONFIDENCE, Interval, clopper_pearson

from overt_lab.evaluate import spread
from overt_lab.evaluate.metrics import named
from overt_lab.evaluate.verdict import Judged, each_confidence


@dataclass(frozen=True, slots=True)
class Rate:
    """Of pairs. `value` is None where it would rest on too few; then so are the intervals. `ci` is Clopper and
    Pearson's; `by_person` the same for as many pairs as these are worth, which share people; `together` that at the
    confidence at which those of all groups hold at once."""

    events: int
    trials: int
    value: float | None
    ci: Interval | None
    by_person: Interval | None
    together: Interval | None
    worth: float

    @classmethod
    def of(cls, events: int, trials: int, design_effect: float, groups: int) -> Rate:
        each = each_confidence(groups)
        return cls(
            events,
            trials,
            events / trials,
            clopper_pearson(events, trials),
            spread.effective(events, trials, design_effect, CONFIDENCE),
            spread.effective(events, trials, design_effect, each),
            trials / design_effect,
        )

    @classmethod
    def unknown(cls, events: int, trials: int) -> Rate:
        return cls(events, trials, None, None, None, None, 0.0)


@dataclass(frozen=True, slots=True)
class Group:
    """`fmr`: of pairs of two people; `tmr`: of pairs of one."""

    name: str
    pictures: int
    people: int
    expected_false_matches: float
    fmr: Rate
    tmr: Rate

    @property
    def entering(self) -> float | None:
        """What counts in the ratios: the false-match rate, or its upper limit where there was no event."""
        return self.fmr.ci.high if self.fmr.ci and not self.fmr.events else self.fmr.value


@dataclass(frozen=True, slots=True)
class Level:
    """All groups at the threshold of one false-match rate over all of them. `threshold` is None where too few false
    matches are expected. `tmr` is that of all groups' pairs together."""

    fmr: float
    threshold: float | None
    impostors: int
    false_matches: int
    groups: tuple[Group, ...]
    tmr: Rate
    judged: Judged
    tmr_judged: Judged

    @property
    def max_over_min(self) -> float | None:
        rates = self._entering()
        return max(rates) / min(rates) if rates else None

    @property
    def max_over_geomean(self) -> float | None:
        rates = self._entering()
        return max(rates) / math.exp(math.fsum(map(math.log, rates)) / len(rates)) if rates else None

    @property
    def at_least(self) -> float | None:
        """What the ratio of the highest to the lowest is at least, at 95 %; 1 where the intervals touch."""
        bounds = [group.fmr.together for group in self.groups if group.fmr.together]
        if not bounds:
            return None
        return max(1.0, max(one.low for one in bounds) / min(one.high for one in bounds))

    def _entering(self) -> list[float] | None:
        rates = [group.entering for group in self.groups]
        return None if None in rates else [rate for rate in rates if rate is not None]


@dataclass(frozen=True, slots=True, repr=False)
class Shares:
    """`thresholds`: float64[steps], falling; `fmr`: float64[groups, steps], NaN where it rests on too few."""

    thresholds: NDArray[np.float64]
    fmr: NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class Compared:
    """What one kind of score makes of the groups."""

    name: str
    levels: tuple[Level, ...]
    shares: Shares


@dataclass(frozen=True, slots=True)
class Equity:
    """What one engine made of the set; the last of `compared` is the score that ships."""

    by: tuple[str, ...]
    compared: tuple[Compared, ...]
    pictures: int
    people: int
    named: bool
    left_out: int
    fte: int
    undecodable: int

    @property
    def ships(self) -> Compared:
        return self.compared[-1]


def figures(equity: Equity) -> dict[str, Any]:
    """The fields of `--json`. Rates are fractions."""
    return {
        **{
            compared.name: {named(level.fmr): _level_figures(level) for level in compared.levels}
            for compared in equity.compared
        },
        "score": equity.ships.name,
        "by": list(equity.by),
        "pictures": equity.pictures,
        "people": equity.people,
        "subjects_named": equity.named,
        "left_out": equity.left_out,
        "fte": equity.fte,
        "undecodable": equity.undecodable,
    }


def _level_figures(level: Level) -> dict[str, Any]:
    return {
        "threshold": level.threshold,
        "groups": {group.name: _group_figures(group) for group in level.groups},
        "tmr": level.tmr.value,
        "tmr_ci": level.tmr.ci and list(level.tmr.ci),
        "fmr_max_over_min": level.max_over_min,
        "fmr_max_over_geomean": level.max_over_geomean,
        "fmr_max_over_min_at_least": level.at_least,
        "verdict": level.judged.verdict.value,
        "power": level.judged.power,
        "why": level.judged.why,
        "tmr_verdict": level.tmr_judged.verdict.value,
        "tmr_power": level.tmr_judged.power,
        "tmr_why": level.tmr_judged.why,
        "impostors": level.impostors,
        "false_matches": level.false_matches,
    }


def _group_figures(group: Group) -> dict[str, Any]:
    def listed(interval: Interval | None) -> list[float] | None:
        return None if interval is None else list(interval)

    return {
        "fmr": group.fmr.value,
        "fmr_ci": listed(group.fmr.ci),
        "tmr": group.tmr.value,
        "tmr_ci": listed(group.tmr.ci),
        "n_impostor": group.fmr.trials,
        "n_genuine": group.tmr.trials,
        "false_matches": group.fmr.events,
        "expected_false_matches": group.expected_false_matches,
        "true_matches": group.tmr.events,
        "fmr_ci_by_person": listed(group.fmr.by_person),
        "tmr_ci_by_person": listed(group.tmr.by_person),
        "pictures": group.pictures,
        "people": group.people,
    }
