"""Durations in buckets that grow by 5 %: small enough for a receipt, exact enough for a p99, and mergeable.

Bucket i holds (1.05^(i-1), 1.05^i] milliseconds; i may be negative. A percentile is its bucket's upper edge, so
that it errs towards "later", by less than 5 %; it never exceeds the largest duration seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

_GROWTH = 1.05
_LOG_GROWTH = math.log(_GROWTH)
# Shorter ones, and what a stepped clock makes negative, count as this long.
_SHORTEST_MS = 0.01


def bucket_of(milliseconds: float) -> int:
    """The bucket that holds a duration."""
    return math.ceil(math.log(max(milliseconds, _SHORTEST_MS)) / _LOG_GROWTH - 1e-9)


def upper_edge_ms(bucket: int) -> float:
    return float(_GROWTH**bucket)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Immutable; grow one with a HistogramBuilder."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    max_ms: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def percentile(self, percent: float) -> float | None:
        """Milliseconds within which `percent` (0..100] of the durations lie (nearest rank); None without any."""
        if not 0 < percent <= 100:
            raise ValueError("a percentile is more than 0 and at most 100")
        rank = math.ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank and seen > 0:
                return min(upper_edge_ms(bucket), self.max_ms)
        return None

    def __add__(self, other: Histogram) -> Histogram:
        total = dict(self.buckets)
        for bucket, n in other.buckets.items():
            total[bucket] = total.get(bucket, 0) + n
        return Histogram(total, max(self.max_ms, other.max_ms))


EMPTY_HISTOGRAM = Histogram()


class HistogramBuilder:
    """Counts durations one by one."""

    def __init__(self, durations: Iterable[timedelta] = ()) -> None:
        self._buckets: dict[int, int] = {}
        self._max_ms = 0.0
        for duration in durations:
            self.add(duration)

    def add(self, duration: timedelta) -> None:
        milliseconds = max(duration / timedelta(milliseconds=1), _SHORTEST_MS)
        bucket = bucket_of(milliseconds)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._max_ms = max(self._max_ms, milliseconds)

    def snapshot(self) -> Histogram:
        return Histogram(dict(self._buckets), self._max_ms)
