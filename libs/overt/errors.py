"""The three kinds of trouble, sorted by what the caller should do next.

Anything else that is raised is a defect, and is treated as one: told in the log, opaque to clients.
"""

from __future__ import annotations

from overt.reasons import Reason


class OvertError(Exception):
    """Base of what Overt raises on purpose. The message is for people and never holds personal data."""


class Retryable(OvertError):
    """Try again later: a peer is away, a queue is full."""


class Rejected(OvertError):
    """Never try this input again. `reason` is the stable code, the message says what to do about it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Fatal(OvertError):
    """The process cannot go on: exit 2 with the message, no traceback."""
