"""The rule by which K, a and b are chosen: the fairest of those that cost next to nothing in recognition.

1. A setting may be chosen if recognition on the mated pictures, TPIR at FPIR 1e-2, is not worse than the raw cosine's
   by more than MOST_LOST, with 95 % confidence: the loss plus 1.645 standard errors, of the probes that one finds and
   the other does not.
2. Of these, the fairest has the lowest worst-over-best ratio of the groups' false-match rates on the cohort, each
   member scored as if neither of the two were in it, at the lowest rate for which every group expects FEWEST_EVENTS.
3. Settings whose ratio the fairest one's does not differ from by more than chance are as fair; of them the one that
   recognises most is taken, of equals the fairer one.

If none may be chosen the cosine is kept: a = 0, b = 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from overt.scoring import STANDARD, Normalisation

from overt_lab.calibrate.leaving_out import leaving_out
from overt_lab.calibrate.mated import Mated
from overt_lab.calibrate.strangers import Strangers, group_rates
from overt_lab.evaluate.scores import Standing
from overt_lab.evaluate.templates import Templates
from overt_lab.progress import progress

Found: TypeAlias = NDArray[np.bool_] | None
"""Which mated probes are found."""

MOST_LOST: Final = 0.01
"""A point of TPIR."""

FEWEST_EVENTS: Final = 50
"""A group's rate is then known to within 14 %."""

FMRS: Final = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
_ONE_SIDED: Final = 1.645

BESTS: Final = (50, 100, 200, 300)
AS: Final = (0.5, 1.0, 1.5, 2.0)
BS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)

RAW: Final = Normalisation(best=2, a=0.0, b=0.0)
"""s' is the cosine."""


@dataclass(frozen=True, slots=True)
class Setting:
    """`ratio`: worst over best group at one threshold. `ratio_error`: the standard error of its logarithm.
    `recognised`, `lost` (against raw) and `lost_error`, its standard error: fractions; None without mated pictures."""

    how: Normalisation
    ratio: float
    ratio_error: float
    recognised: float | None = None
    lost: float | None = None
    lost_error: float | None = None

    @property
    def eligible(self) -> bool:
        if self.lost is None or self.lost_error is None:
            return False
        return self.lost + _ONE_SIDED * self.lost_error <= MOST_LOST


@dataclass(frozen=True, slots=True)
class Choice:
    """`raw` and `chosen` on the same pictures; `curve`: all that were tried. `fmr`: at which ratios were taken."""

    chosen: Setting
    raw: Setting
    curve: tuple[Setting, ...]
    fmr: float
    why: str

    @property
    def front(self) -> tuple[Setting, ...]:
        """The settings that no other beats in both, from the fairest on. Empty without mated pictures."""
        best: list[Setting] = []
        for one in sorted(self.curve, key=lambda s: (s.ratio, -(s.recognised or 0))):
            if one.recognised is not None and (not best or one.recognised > (best[-1].recognised or 0)):
                best.append(one)
        return tuple(best)


@dataclass(frozen=True, slots=True, repr=False)
class Trial:
    """What settings are tried on. `within`: pairs of strangers of one group; `group_count` groups."""

    templates: Templates
    members: NDArray[np.int64]
    within: Strangers
    group_count: int
    mated: Mated | None

    @property
    def of_pair(self) -> NDArray[np.int64]:
        """int64[pairs]: the group of each."""
        return self.within.groups[self.within.first]

    def fmr(self) -> float:
        """The lowest of FMRS for which every group expects FEWEST_EVENTS; the highest if none does."""
        smallest = int(np.bincount(self.of_pair, minlength=self.group_count).min())
        return next((fmr for fmr in FMRS if fmr * smallest >= FEWEST_EVENTS), FMRS[-1])

    def bests(self) -> tuple[int, ...]:
        """The K to try: at most a third of what every member can be compared with."""
        most = (len(self.templates.rows) - int(np.bincount(self.members).max())) // 3
        return tuple(k for k in BESTS if k <= most) or (max(2, most),)

    def raw(self) -> tuple[Setting, NDArray[np.bool_] | None]:
        """How the cosine does, and which mated probes it finds."""
        mated = self.mated if self.mated is not None and len(self.mated.probes) else None
        found = None if mated is None else mated.found(mated.scored(None, None))
        return self._setting(RAW, self.within.cosines, found, found), found

    def settings(self, best: int, powers: Sequence[tuple[float, float]], raw: Found) -> Iterator[Setting]:
        """Of each (a, b) with that K. `raw`: which mated probes the cosine finds."""
        without = leaving_out(self.templates, self.members, best)
        theirs = None if self.mated is None else Standing.of(self.mated.templates, self.templates.rows, best)
        for a, b in powers:
            how = Normalisation(best, a, b)
            found = None
            if self.mated is not None and raw is not None:
                found = self.mated.found(self.mated.scored(theirs, how))
            yield self._setting(how, self.within.members_scores(without, how), found, raw)

    def _setting(self, how: Normalisation, scores: NDArray[np.float64], found: Found, raw: Found) -> Setting:
        of_pair = self.of_pair
        rates = group_rates(scores, of_pair, self.group_count, self.fmr())
        events = rates * np.bincount(of_pair, minlength=self.group_count)
        ratio = float(rates.max() / rates.min())
        error = math.sqrt(1 / max(events.max(), 0.5) + 1 / max(events.min(), 0.5))
        if found is None or raw is None:
            return Setting(how, ratio, error)
        lost = float(raw.mean() - found.mean())
        return Setting(how, ratio, error, float(found.mean()), lost, math.sqrt(int((raw != found).sum())) / len(found))


def choose(trial: Trial) -> Choice:
    """By the rule with mated pictures, by default without. Takes about a quarter of a second a setting."""
    raw, found = trial.raw()
    if found is None:
        best = min(STANDARD.best, trial.bests()[-1])
        (chosen,) = trial.settings(best, [(STANDARD.a, STANDARD.b)], None)
        why = "the documented default: without --mated there is nothing to choose by"
        return Choice(chosen, raw, (chosen,), trial.fmr(), why)
    powers = list(product(AS, BS))
    tried = (setting for best in trial.bests() for setting in trial.settings(best, powers, found))
    count = len(powers) * len(trial.bests())
    curve = tuple(progress(tried, label=f"trying {count} settings", length=count))
    best_of = _chosen(curve)
    if best_of is None:
        return Choice(raw, raw, curve, trial.fmr(), "raw cosines: every setting loses more than a point of TPIR")
    return Choice(best_of, raw, curve, trial.fmr(), _WHY)


_WHY = (
    "the one that recognises most of the fairest (no more unequal than the fairest by chance) of those that lose at "
    "most a point of TPIR against raw, with 95 % confidence"
)


def _chosen(curve: Sequence[Setting]) -> Setting | None:
    eligible = [setting for setting in curve if setting.eligible]
    if not eligible:
        return None
    fairest = min(eligible, key=lambda s: s.ratio)
    as_fair = [s for s in eligible if s.ratio <= fairest.ratio * math.exp(_ONE_SIDED * fairest.ratio_error)]
    return max(as_fair, key=lambda s: (s.recognised or 0, -s.ratio))
