"""Fakes that pass the same contract tests as the real things, for our tests and for those who extend Overt."""

from __future__ import annotations

from overt.testing.bus import MemoryBus
from overt.testing.clock import FakeClock

__all__ = ["FakeClock", "MemoryBus"]
