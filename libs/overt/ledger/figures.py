"""The ledger under the names that reports, REST and `overt demo --json` give it."""

from __future__ import annotations

from typing import Any

from overt.ledger.account import Totals
from overt.ledger.book import FRAME_CLASSES, TRACK_CLASSES, Book


def figures(totals: Totals) -> dict[str, Any]:
    """JSON-ready; every class of the closed lists is there, with 0 where nothing happened. Durations
    in ms, null where nothing was destroyed; `as_of` is null before the first receipt."""
    return {
        "frames_in": totals.frames.entered,
        **_book(totals.frames, FRAME_CLASSES),
        "conserved": totals.every_receipt_conserved and totals.frames.conserved(),
        "tracks": {
            "seen": totals.tracks.entered,
            **_book(totals.tracks, TRACK_CLASSES),
            "conserved": totals.every_receipt_conserved and totals.tracks.conserved(),
        },
        "faces_seen": totals.faces_seen,
        "erase_ms": {
            "p50": _rounded(totals.lived.percentile(50)),
            "p95": _rounded(totals.lived.percentile(95)),
            "p99": _rounded(totals.lived.percentile(99)),
            "max": _rounded(totals.lived.max_ms if totals.lived.count else None),
        },
        "declared_epochs": [
            {
                "service": lost.service,
                "epoch": lost.epoch,
                "lost_at": lost.lost_at.isoformat(),
                "unknown_frames_at_most": lost.unknown_frames_at_most,
            }
            for lost in totals.declared
        ],
        "unknown_frames_at_most": totals.unknown_frames_at_most,
        "open_epochs": totals.open_epochs,
        "as_of": totals.as_of.isoformat() if totals.as_of else None,
    }


def _book(book: Book, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "destroyed": {name: book.of(name) for name in classes},
        "retained": book.retained,
        "in_flight": book.in_flight,
        "reasons": dict(sorted(book.reasons.items())),
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
