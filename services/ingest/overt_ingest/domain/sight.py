"""Whether a camera sees: the rule behind its status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from overt.ledger import FrameClass
from overt.reasons import Reason

STALLED_AFTER_S = 2.0
"""A camera that sent something and then nothing for this long is blind. The slowest useful camera sends two frames
a second."""

UNSEEING_AFTER_S = 1.5
"""Frames come, and none was analysed for this long: whatever the cause, it does not see. With a status each second
that is told within 2.5 s of the last analysis; most causes are known, and told, sooner."""

SEARCH_FAILURE_HOLDS_S = 5.0
"""A failed search keeps the camera blind this long, unless one succeeds: with nobody in the picture nothing is
searched, and nothing is missed either."""


class Sight(StrEnum):
    WAITING = "waiting"
    SEEING = "seeing"
    BLIND = "blind"
    CLOSED = "closed"


@dataclass(slots=True)
class Senses:
    """What happened last, on the monotonic clock (seconds); None: not yet."""

    analyses: int = 0
    """Frames that were analysed, and searched as far as they had to be."""
    first_frame_at: float | None = None
    frame_at: float | None = None
    analysed_at: float | None = None
    wasted_at: float | None = None
    """A frame was destroyed without having been analysed completely, and why:"""
    wasted_class: FrameClass | None = None
    wasted_reason: Reason | None = None
    search_failed_at: float | None = None
    search_failed_reason: Reason | None = None
    searched_at: float | None = None
    source_trouble: Reason | None = None
    """Said by the source, until it has a frame again."""
    detect_away: bool = False
    ledger_away: bool = False

    def frame_came(self, now: float) -> None:
        self.source_trouble = None
        self.frame_at = now
        if self.first_frame_at is None:
            self.first_frame_at = now

    def analysed(self, now: float) -> None:
        self.analysed_at = now
        self.analyses += 1

    def wasted(self, now: float, kind: FrameClass, reason: Reason) -> None:
        self.wasted_at, self.wasted_class, self.wasted_reason = now, kind, reason

    def searched(self, now: float) -> None:
        self.searched_at = now

    def search_failed(self, now: float, reason: Reason) -> None:
        self.search_failed_at, self.search_failed_reason = now, reason

    def sight(self, now: float) -> tuple[Sight, Reason | None]:
        """What the camera's status says, and why if it is blind."""
        if self.ledger_away:
            return Sight.BLIND, Reason.LEDGER_AWAY
        if self.source_trouble is not None:
            return Sight.BLIND, self.source_trouble
        if self.detect_away:
            return Sight.BLIND, Reason.DETECT_AWAY
        if self.frame_at is None or self.first_frame_at is None:
            return Sight.WAITING, None
        if now - self.frame_at > STALLED_AFTER_S:
            return Sight.BLIND, Reason.SOURCE_STALLED
        if self.wasted_class is FrameClass.UNANALYSED and _later(self.wasted_at, self.analysed_at):
            return Sight.BLIND, self.wasted_reason
        if now - (self.analysed_at or self.first_frame_at) > UNSEEING_AFTER_S:
            return Sight.BLIND, self.wasted_reason or Reason.DEADLINE
        if (
            self.search_failed_at is not None
            and now - self.search_failed_at <= SEARCH_FAILURE_HOLDS_S
            and _later(self.search_failed_at, self.searched_at)
        ):
            return Sight.BLIND, self.search_failed_reason
        return Sight.SEEING, None


def _later(one: float | None, other: float | None) -> bool:
    return one is not None and (other is None or one > other)
