"""Which of a track's faces get a template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from overt.reasons import Reason

SHOTS_APART_S = 0.12
"""Two shots closer in time are nearly the same picture: their agreeing would prove little."""

BETTER_BY = 1.15
"""A later shot costs a template and a search, so it has to be better by this factor of rank. From the poorest
accepted face to the best one that makes about eight shots, which is what one search takes."""


@dataclass(frozen=True, slots=True)
class Shot:
    """The last shot of a track: when, and the best rank so far. No picture, no template."""

    at: float
    best_rank: float


class BestShots:
    """What was taken of each living track of one stream. Times in seconds on the camera's clock.

    The first acceptable face of a track is a shot at once. After that: a face that is better by a margin; or,
    while the track is pending (it has a candidate that waits for another shot), any acceptable face; never one
    within SHOTS_APART_S of the last. A settled track gets none.
    """

    def __init__(self) -> None:
        self._last: dict[int, Shot] = {}

    def refusal(self, track: int, *, rank: float, at: float, pending: bool) -> Reason | None:
        """None: take it, and say so with `took`."""
        last = self._last.get(track)
        if last is None:
            return None
        if at - last.at < SHOTS_APART_S:
            return Reason.NOT_BETTER
        return None if pending or rank >= last.best_rank * BETTER_BY else Reason.NOT_BETTER

    def took(self, track: int, *, rank: float, at: float) -> None:
        last = self._last.get(track)
        self._last[track] = Shot(at, max(rank, last.best_rank) if last else rank)

    def forget(self, tracks: Iterable[int]) -> None:
        for track in tracks:
            self._last.pop(track, None)

    def __len__(self) -> int:
        return len(self._last)
