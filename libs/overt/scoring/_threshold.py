"""From the rate of false alerts that is aimed at to a threshold, and what holds around it.

What a step on the scale of scores is worth, the rates tell: raw, 0.05 makes strangers about ten times rarer (measured
on LFW, docs/accuracy.md), so with a calibration a step is the distance at which *its* strangers become ten times rarer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from overt.scoring._rates import ScoreToRate, fmr_for

RARER: Final = 10
"""By how much a stranger is rarer at the threshold of entries under 18 than at that of the others."""


class Threshold(NamedTuple):
    """Normalised scores; `under_18_score` is never below `score`. `extrapolated`: no such score was seen in the
    calibration."""

    score: float
    under_18_score: float
    target_fpir: float
    extrapolated: bool

    @property
    def margin(self) -> float:
        """See `margin_between`."""
        return margin_between(self.score, self.under_18_score)


def threshold_for(rates: ScoreToRate, *, target_fpir: float, list_size: int) -> Threshold:
    """The lowest score that somebody who is not listed reaches with a chance of at most `target_fpir`.

    `list_size`: references that a search compares with. ValueError for no list or a rate outside 0..1.
    """
    fmr = fmr_for(target_fpir, list_size)
    score, extrapolated = rates.score_at(fmr)
    strict, _ = rates.score_at(fmr / RARER)
    return Threshold(score, max(score, strict), target_fpir, extrapolated)


def margin_between(threshold: float, under_18_threshold: float) -> float:
    """By how much the second entry must stay behind: the step at which strangers become RARER times rarer, as they do
    between these two thresholds. A stranger on the list makes a right alert ambiguous with a chance of at most RARER
    times the rate that the threshold aims at."""
    return max(0.0, under_18_threshold - threshold)
