"""What detect says of a frame and match of a track, in our words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from overt.errors import Retryable
from overt.reasons import Reason


class Away(Retryable):
    """detect or match did not answer, or would not: the frame at hand is destroyed unanalysed, with this code."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"not analysed: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels of the frame, origin top left; may reach beyond its edges."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a frame. `track` 0: of no track. `template` is set on a shot only; `refused` tells why it is none."""

    track: int
    box: Box
    template: bytes = field(default=b"", repr=False)
    refused: str = ""

    @property
    def is_shot(self) -> bool:
        return bool(self.template) and self.track != 0


@dataclass(frozen=True, slots=True)
class Analysis:
    """All faces of one frame. With `rejected` (a reason code) the picture could not be analysed."""

    faces: Sequence[FoundFace] = ()
    ended_tracks: Sequence[int] = ()
    rejected: str = ""
    waited_s: float = 0.0
    """In detect, before anybody looked at it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A template being searched. Its repr tells when, never what."""

    template: bytes = field(repr=False)
    captured_at: datetime


class Decision(StrEnum):
    NO_MATCH = "no_match"
    PENDING = "pending"
    AGREED = "agreed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """match's answer for the probes of a track. `agreeing` are indexes into them. The card is sealed to the
    deployment's public key: ingest cannot read who it is. `ambiguous`: another entry is about as like, and the rival
    card is its own."""

    decision: Decision
    list_revision: int = 0
    entry_id: str = ""
    score: float = 0.0
    threshold: float = 0.0
    uncalibrated: bool = True
    agreeing: Sequence[int] = ()
    sealed_entry_card: bytes = field(default=b"", repr=False)
    ambiguous: bool = False
    sealed_rival_card: bytes = field(default=b"", repr=False)


def known_reason(code: str) -> Reason:
    """A peer's code if it is one of ours: ledgers and metrics carry no word that came over a wire unchecked."""
    try:
        return Reason(code)
    except ValueError:
        return Reason.BAD_MESSAGE
