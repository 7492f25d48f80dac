"""Which of a track's faces get a template."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from overt.reasons import Reason

SHOTS_APART_S = 0.12
"""Two shots closer in time are nearly the same picture: their agreeing would prove little."""

JITTER_S = 0.01
"""The capture of a pulled frame is its packet's arrival, which comes some milliseconds early or late. At 25 frames/s
every other third frame would otherwise be too early, and the next one is 40 ms later."""

BETTER_BY = 1.1
"""A later shot costs a template and a search, so it has to be better by this factor of rank. From the poorest
accepted face to the best one that makes about eight shots, which is what one search takes."""

LOOKS_A_SECOND = 25.0
MOST_LOOKS = 8
"""Faces of one camera that are looked at closely: with the template that takes 12 ms, as long as finding all faces of a
frame. A group of eight would hold up their own next frames, and other cameras', for a tenth of a second; so at 25
frames/s each frame looks at one, and at 5 frames/s at five. Whose turn it is: who waits for a second shot, then who
had the fewest turns, then the best."""

REFRESH_S = 10.0
"""After this long a track's next acceptable face is a shot whatever came before: the tracker may have gone over from
one person to another, who would otherwise pass unseen. Most people are past a camera sooner; one who stands in front
of it costs one template in ten seconds."""


_INTERVALS = 4
"""That their mean is taken of: as many pictures as come out of order together."""


class Pace:
    """How many faces of a stream's next frame are looked at closely.

    By the mean of its last intervals: with B-pictures the packets that captures are taken from come as 120, -40, -40
    and 120 ms, and a frame that looks at three faces at once holds up the next two.
    """

    def __init__(self) -> None:
        self._captures: deque[float] = deque(maxlen=_INTERVALS + 1)

    def looks(self, at: float) -> int:
        """Of the frame captured `at` seconds on the camera's clock."""
        self._captures.append(at)
        intervals = len(self._captures) - 1
        if not intervals:
            return MOST_LOOKS
        mean = (self._captures[-1] - self._captures[0]) / intervals
        return min(MOST_LOOKS, max(1, round(mean * LOOKS_A_SECOND)))


@dataclass(frozen=True, slots=True)
class Shot:
    """The last shot of a track: when, and the best rank so far. No picture, no template."""

    at: float
    best_rank: float


class BestShots:
    """What was taken of each living track of one stream. Times in seconds on the camera's clock.

    The first acceptable face of a track is a shot at once. After that: a face that is better by a margin; or,
    while the track is pending (it has a candidate that waits for another shot), any acceptable face; never one
    within SHOTS_APART_S of the last, give or take JITTER_S. A settled track (it has its verdict) gets none. All of
    them get one again when REFRESH_S have passed since their last.
    """

    def __init__(self) -> None:
        self._last: dict[int, Shot] = {}
        self._turns: Counter[int] = Counter()

    def rests(self, track: int, *, at: float) -> bool:
        """Whether the track, once settled, needs no shot now."""
        last = self._last.get(track)
        return last is not None and last.best_rank > 0 and at - last.at < REFRESH_S

    def doubt(self, track: int) -> None:
        """The track may have become somebody else, of whom there is no shot."""
        if (last := self._last.get(track)) is not None:
            self._last[track] = Shot(last.at, 0.0)

    def urgency(self, track: int, *, rank: float, pending: bool) -> tuple[bool, int, float]:
        """The smaller, the sooner its turn, among faces of one frame that are not refused."""
        return not pending, self._turns[track], -rank

    def looked_at(self, track: int) -> None:
        """It had a turn, whatever came of it."""
        self._turns[track] += 1

    def refusal(self, track: int, *, rank: float, at: float, pending: bool) -> Reason | None:
        """None: take it, and say so with `took`. With the highest rank that a face may turn out to have, a refusal
        is one whatever it turns out to be."""
        last = self._last.get(track)
        if last is None or at - last.at >= REFRESH_S:
            return None
        if at - last.at < SHOTS_APART_S - JITTER_S:
            return Reason.NOT_BETTER
        return None if pending or rank >= last.best_rank * BETTER_BY else Reason.NOT_BETTER

    def took(self, track: int, *, rank: float, at: float) -> None:
        last = self._last.get(track)
        self._last[track] = Shot(at, max(rank, last.best_rank) if last else rank)

    def forget(self, tracks: Iterable[int]) -> None:
        for track in tracks:
            self._last.pop(track, None)
            self._turns.pop(track, None)

    def __len__(self) -> int:
        return len(self._last)
