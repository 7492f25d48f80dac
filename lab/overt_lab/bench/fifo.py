"""What a queue would have done: first come, first served, nobody superseded. Simulated, not run: pure arithmetic.

Frames come evenly, as they were offered; as many are analysed at a time as there are processors, each for as long as
the same stages took for one of the clip's frames in one process, scaled so that the rate is the measured capacity.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle


@dataclass(frozen=True, slots=True)
class Queued:
    """`stale_ms`: capture to the start of the analysis, of every frame that was begun in time. `waiting`: frames in
    the queue at the end."""

    stale_ms: list[float]
    waiting: int


def simulate(
    *, offered_fps: float, capacity_fps: float, seconds: float, workers: int, took_ms: Sequence[float]
) -> Queued:
    """`took_ms`: how long frames take, of any length but not empty; only their proportions count."""
    mean = sum(took_ms) / len(took_ms)
    lengths = cycle([took / mean * workers / capacity_fps for took in took_ms])
    free = [0.0] * workers
    stale: list[float] = []
    arrived = int(offered_fps * seconds)
    for number in range(arrived):
        captured = number / offered_fps
        begins = max(captured, heapq.heappop(free))
        if begins >= seconds:
            break
        stale.append((begins - captured) * 1e3)
        heapq.heappush(free, begins + next(lengths))
    return Queued(stale, arrived - len(stale))
