"""How scores become a verdict. Pure: numbers in, a value out; match and the lab run the same code."""

from __future__ import annotations

from overt.scoring._decision import (
    AGREEING_SHOTS,
    SHOTS_APART,
    Candidate,
    ProbeScores,
    Verdict,
    VerdictKind,
    decide,
)

__all__ = [
    "AGREEING_SHOTS",
    "SHOTS_APART",
    "Candidate",
    "ProbeScores",
    "Verdict",
    "VerdictKind",
    "decide",
]
