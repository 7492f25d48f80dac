"""The decision rule: a track agrees with an entry when enough shots, taken apart in time, each reach the threshold.

Scores are raw cosines or, with a calibration, normalised; threshold and margin are on the same scale, and nothing is
squashed into a "confidence". One shot is never enough: a single frame that happens to look like an entry is the
commonest false alert, and two frames a few milliseconds apart are the same picture twice.

Two entries that are about as like the track (kin, look-alikes, one person listed twice) make the answer `ambiguous`:
it is still given, with both, because to leave it out would find neither. For entries under 18 the rule is stricter:
models tell children apart less well, and a wrong alert weighs more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

AGREEING_SHOTS = 2
"""Shots of a track that must reach the threshold for one and the same entry."""

SHOTS_APART = timedelta(milliseconds=100)
"""Least time between two shots that count as two: below it pose, light and blur have hardly changed."""

UNDER_18_SHOTS = 3
"""Shots that must agree on an entry under 18."""

UNDER_18_ABOVE = 0.05
"""By how much its threshold is higher while scores are raw cosines: on LFW strangers that high are ten times rarer.
With a calibration: the score of a tenth of the rate (`threshold_for`)."""

MARGIN = 0.05
"""Cosines by which the second entry must stay behind, while scores are raw. With a calibration: `margin_between`."""


class VerdictKind(StrEnum):
    """What is known of a track so far."""

    NO_MATCH = "no_match"
    PENDING = "pending"
    AGREED = "agreed"


class Candidate(NamedTuple):
    """An entry and its best score over its references, for one probe: all of a track's are raw cosines, -1..1, or
    all are normalised."""

    entry_id: str
    score: float


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """One shot of a track. `captured_at` is aware, or naive in all probes alike.

    The order of `candidates` does not matter. An entry that is there twice counts with its better score; one that
    is below its threshold, or not a number, counts as absent.
    """

    captured_at: datetime
    candidates: Sequence[Candidate | tuple[str, float]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for a track.

    AGREED: `entry_id`, and `score`, the lowest score among the agreeing shots that are best for it (with two
    shots: the lower of the two best); `agreeing` are those shots. `rival`: the entry that comes within the margin of
    `score` in every one of them, the closest if there are several; None if nobody does.
    PENDING: the leading entry, its best score so far, and every shot that reached the threshold for it.
    NO_MATCH: nothing is set.
    `agreeing` are indexes into the probes, in order of capture. `uncalibrated`: no score-to-rate table stands behind
    the threshold.
    """

    kind: VerdictKind
    entry_id: str | None = field(default=None, repr=False)
    score: float | None = None
    agreeing: tuple[int, ...] = ()
    uncalibrated: bool = True
    rival: str | None = field(default=None, repr=False)

    @property
    def ambiguous(self) -> bool:
        """Two entries are about as like: whoever looks at the alert is to see both."""
        return self.rival is not None


@dataclass(frozen=True, slots=True)
class Under18:
    """The entries under 18, and what holds for them: never less than for the others."""

    entries: Collection[str] = field(repr=False)
    threshold: float
    agreeing_shots: int = UNDER_18_SHOTS


class _Shot(NamedTuple):
    captured_at: datetime
    number: int
    score: float


def decide(
    probes: Sequence[ProbeScores],
    *,
    threshold: float,
    agreeing_shots: int = AGREEING_SHOTS,
    apart: timedelta = SHOTS_APART,
    margin: float = 0.0,
    under_18: Under18 | None = None,
    uncalibrated: bool = True,
) -> Verdict:
    """The verdict of all shots of a track so far; the order of the probes does not matter.

    A score equal to the threshold reaches it. Of several entries the one with the highest score is answered, of
    equals the one with the smallest id. A second entry is a rival when it is less than `margin` behind, whether or
    not it reaches the threshold itself; with 0 nobody is. ValueError if fewer than one shot is asked for, or the
    margin is negative or not a number.
    """
    if agreeing_shots < 1:
        raise ValueError("at least one shot must agree")
    if not margin >= 0:
        raise ValueError("a margin is at least 0")
    young = frozenset(under_18.entries) if under_18 else frozenset()
    strict = max(threshold, under_18.threshold) if under_18 else threshold
    more = max(agreeing_shots, under_18.agreeing_shots) if under_18 else agreeing_shots
    every = _shots_by_entry(probes)
    shots = {
        entry_id: reached
        for entry_id, of_entry in every.items()
        if (reached := [s for s in of_entry if s.score >= (strict if entry_id in young else threshold)])
    }
    if not shots:
        return Verdict(VerdictKind.NO_MATCH, uncalibrated=uncalibrated)
    agreed = [
        (-score, entry_id, indexes)
        for entry_id, of_entry in shots.items()
        for score, indexes in _best_agreement(of_entry, more if entry_id in young else agreeing_shots, apart)
    ]
    if agreed:
        negative_score, entry_id, indexes = min(agreed)
        rival = _rival(every, entry_id, indexes, -negative_score - margin)
        return Verdict(VerdictKind.AGREED, entry_id, -negative_score, indexes, uncalibrated, rival)
    leader = min(shots, key=lambda entry_id: (-max(s.score for s in shots[entry_id]), entry_id))
    return Verdict(
        VerdictKind.PENDING,
        leader,
        max(s.score for s in shots[leader]),
        tuple(s.number for s in shots[leader]),
        uncalibrated,
    )


def _shots_by_entry(probes: Sequence[ProbeScores]) -> dict[str, list[_Shot]]:
    """For each entry that is a candidate at all, its shots in order of capture."""
    found: defaultdict[str, list[_Shot]] = defaultdict(list)
    for index, probe in sorted(enumerate(probes), key=lambda p: (p[1].captured_at, p[0])):
        best: dict[str, float] = {}
        for entry_id, score in probe.candidates:
            if not math.isnan(score):
                best[entry_id] = max(score, best.get(entry_id, score))
        for entry_id, score in best.items():
            found[entry_id].append(_Shot(probe.captured_at, index, score))
    return found


def _rival(shots: dict[str, list[_Shot]], winner: str, agreeing: tuple[int, ...], above: float) -> str | None:
    """The entry other than the winner whose lowest score over the agreeing shots is highest, if it is above that."""
    behind = []
    for entry_id, of_entry in shots.items():
        scores = [s.score for s in of_entry if s.number in agreeing]
        if entry_id != winner and len(scores) == len(agreeing) and min(scores) > above:
            behind.append((-min(scores), entry_id))
    return min(behind)[1] if behind else None


def _best_agreement(shots: Sequence[_Shot], needed: int, apart: timedelta) -> list[tuple[float, tuple[int, ...]]]:
    """The highest level at which `needed` shots, pairwise `apart`, all are; none or one.

    Taking the earliest shot that is far enough from the last one taken yields the most shots of a level, so the
    first level that yields enough is the best there is.
    """
    for level in sorted({s.score for s in shots}, reverse=True):
        taken: list[_Shot] = []
        for shot in shots:
            if shot.score >= level and (not taken or shot.captured_at - taken[-1].captured_at >= apart):
                taken.append(shot)
        if len(taken) >= needed:
            return [(level, tuple(s.number for s in taken[:needed]))]
    return []
