"""The ledger's shape is fixed by `overt.ledger.figures`; this is what one looks like."""

from __future__ import annotations

from typing import Any

_ONE: dict[str, Any] = {
    "frames_in": 40210,
    "destroyed": {
        "no_face": 21804,
        "no_match": 18201,
        "superseded": 190,
        "unanalysed": 8,
        "rejected": 0,
        "expired": 2,
    },
    "retained": 5,
    "in_flight": 0,
    "reasons": {"unanalysed/detect_away": 8},
    "conserved": True,
    "tracks": {
        "seen": 1402,
        "destroyed": {
            "no_match": 1310,
            "quality": 61,
            "outside_zone": 20,
            "unconfirmed": 4,
            "unanalysed": 2,
            "expired": 0,
        },
        "retained": 5,
        "in_flight": 0,
        "reasons": {},
        "conserved": True,
    },
    "faces_seen": 1319,
    "erase_ms": {"p50": 41.0, "p95": 120.7, "p99": 182.4, "max": 260.1},
    "declared_epochs": [],
    "unknown_frames_at_most": 0,
    "open_epochs": 0,
    "as_of": "2026-05-01T15:00:00+00:00",
    "final": True,
}

LEDGER_EXAMPLE: dict[str, Any] = {
    "deployment": "high-street-1",
    "authority": "unauthorised: development",
    "uncalibrated": True,
    **_ONE,
    "cameras": {"north-gate": _ONE},
}
