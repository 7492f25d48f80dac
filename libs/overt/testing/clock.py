"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """`overt.runtime.Clock` for tests: both its times move only by `advance`."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC), monotonic: float = 1000.0) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock's time is aware")
        self._now = now.astimezone(UTC)
        self._monotonic = monotonic

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta | float) -> None:
        """Time passes, `by` a timedelta or seconds; it never goes back."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("time does not go back; use `jump` for a wall clock that is set")
        self._now += step
        self._monotonic += step.total_seconds()

    def jump(self, to: datetime) -> None:
        """Somebody sets the wall clock; the monotonic one does not notice."""
        self._now = to.astimezone(UTC)
