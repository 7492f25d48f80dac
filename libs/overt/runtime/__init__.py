"""The life of a process: start in order, stop in order, time, and trying again."""

from __future__ import annotations

from overt.runtime.app import ServiceApp
from overt.runtime.clock import Clock, SystemClock
from overt.runtime.entry import main
from overt.runtime.retrying import retry

__all__ = ["Clock", "ServiceApp", "SystemClock", "main", "retry"]
