"""The decision rule: a track agrees with an entry when enough shots, taken apart in time, each reach the threshold.

Scores are raw cosines; nothing is squashed into a "confidence". One shot is never enough: a single frame that
happens to look like an entry is the commonest false alert, and two frames a few milliseconds apart are the same
picture twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

AGREEING_SHOTS = 2
"""Shots of a track that must reach the threshold for one and the same entry."""

SHOTS_APART = timedelta(milliseconds=100)
"""Least time between two shots that count as two: below it pose, light and blur have hardly changed."""


class VerdictKind(StrEnum):
    """What is known of a track so far."""

    NO_MATCH = "no_match"
    PENDING = "pending"
    AGREED = "agreed"


class Candidate(NamedTuple):
    """An entry and its best raw cosine over its references, -1..1, for one probe."""

    entry_id: str
    cosine: float


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """One shot of a track. `captured_at` is aware, or naive in all probes alike.

    The order of `candidates` does not matter. An entry that is there twice counts with its better cosine; one that
    is below the threshold, or not a number, counts as absent.
    """

    captured_at: datetime
    candidates: Sequence[Candidate | tuple[str, float]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for a track.

    AGREED: `entry_id`, and `score`, the lowest cosine among the agreeing shots that are best for it (with two
    shots: the lower of the two best); `agreeing` are those shots.
    PENDING: the leading entry, its best cosine so far, and every shot that reached the threshold for it.
    NO_MATCH: nothing is set.
    `agreeing` are indexes into the probes, in order of capture. `uncalibrated` is True because no score-to-rate
    table stands behind the threshold.
    """

    kind: VerdictKind
    entry_id: str | None = field(default=None, repr=False)
    score: float | None = None
    agreeing: tuple[int, ...] = ()
    uncalibrated: bool = True


class _Shot(NamedTuple):
    captured_at: datetime
    number: int
    cosine: float


def decide(
    probes: Sequence[ProbeScores],
    *,
    threshold: float,
    agreeing_shots: int = AGREEING_SHOTS,
    apart: timedelta = SHOTS_APART,
) -> Verdict:
    """The verdict of all shots of a track so far; the order of the probes does not matter.

    A cosine equal to the threshold reaches it. Of several entries the one with the highest score is answered, of
    equals the one with the smallest id. ValueError if fewer than one shot is asked for.
    """
    if agreeing_shots < 1:
        raise ValueError("at least one shot must agree")
    shots = _shots_by_entry(probes, threshold)
    if not shots:
        return Verdict(VerdictKind.NO_MATCH)
    agreed = [
        (-score, entry_id, indexes)
        for entry_id, of_entry in shots.items()
        for score, indexes in _best_agreement(of_entry, agreeing_shots, apart)
    ]
    if agreed:
        negative_score, entry_id, indexes = min(agreed)
        return Verdict(VerdictKind.AGREED, entry_id, -negative_score, indexes)
    leader = min(shots, key=lambda entry_id: (-max(s.cosine for s in shots[entry_id]), entry_id))
    return Verdict(
        VerdictKind.PENDING,
        leader,
        max(s.cosine for s in shots[leader]),
        tuple(s.number for s in shots[leader]),
    )


def _shots_by_entry(probes: Sequence[ProbeScores], threshold: float) -> dict[str, list[_Shot]]:
    """For each entry that is a candidate at all, its shots in order of capture."""
    found: defaultdict[str, list[_Shot]] = defaultdict(list)
    for index, probe in sorted(enumerate(probes), key=lambda p: (p[1].captured_at, p[0])):
        best: dict[str, float] = {}
        for entry_id, cosine in probe.candidates:
            # Written so that NaN fails it.
            if cosine >= threshold:
                best[entry_id] = max(cosine, best.get(entry_id, cosine))
        for entry_id, cosine in best.items():
            found[entry_id].append(_Shot(probe.captured_at, index, cosine))
    return found


def _best_agreement(shots: Sequence[_Shot], needed: int, apart: timedelta) -> list[tuple[float, tuple[int, ...]]]:
    """The highest level at which `needed` shots, pairwise `apart`, all are; none or one.

    Taking the earliest shot that is far enough from the last one taken yields the most shots of a level, so the
    first level that yields enough is the best there is.
    """
    for level in sorted({s.cosine for s in shots}, reverse=True):
        taken: list[_Shot] = []
        for shot in shots:
            if shot.cosine >= level and (not taken or shot.captured_at - taken[-1].captured_at >= apart):
                taken.append(shot)
        if len(taken) >= needed:
            return [(level, tuple(s.number for s in taken[:needed]))]
    return []
