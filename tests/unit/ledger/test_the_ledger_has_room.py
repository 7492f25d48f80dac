"""With a full ledger no camera sees any more: the largest deployment has to fit, whatever happens to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from overt.ids import new_epoch
from overt.ledger import FRAME_CLASSES, TRACK_CLASSES, Book, CameraAccount, DeclaredEpoch, Histogram
from overt.ledger.wire import to_receipt
from overt.subjects import LEDGER
from overt_gateway.domain import LONGEST_WINDOW, MOST_CAMERAS

pytestmark = pytest.mark.unit

OPENED_EVERY = timedelta(minutes=5)
"""An ingest that dies so often, all day, is a worse trouble than its ledger."""
_HEADER_BYTES = 256
"""Of NATS, a message: its subject, its id, the trace, lengths and checks."""


def _fullest_receipt() -> CameraAccount:
    """Of a camera at 60 frames a second on the last day: every class, many reasons, durations from 5 ms to 5 s."""
    now, count = datetime(2026, 5, 1, tzinfo=UTC), int(60 * LONGEST_WINDOW.total_seconds())
    reasons = (
        "detect_away",
        "match_away",
        "deadline",
        "list_not_ready",
        "not_a_jpeg",
        "truncated",
        "clock",
        "sequence",
    )
    return CameraAccount(
        deployment="d" * 40,
        camera="c" * 40,
        epoch=new_epoch(),
        number=count,
        began_at=now,
        until=now,
        frames=Book(count, dict.fromkeys(FRAME_CLASSES, count), count, 4, {f"unanalysed/{r}": count for r in reasons}),
        tracks=Book(count, dict.fromkeys(TRACK_CLASSES, count), count, 4, {f"quality/{r}": count for r in reasons}),
        lived=Histogram(dict.fromkeys(range(33, 175), count), 5000.0),
        faces_seen=count,
        declared=(DeclaredEpoch("ingest", new_epoch(), now, 1004), DeclaredEpoch("detect", new_epoch(), now, 4)),
        may_follow=1000,
    )


def test_the_largest_deployment_fits_into_its_ledger() -> None:
    assert LEDGER.latest_only, "each receipt replaces the one before it"
    assert LEDGER.max_age == timedelta(0), "and the last one stays"
    receipt = len(to_receipt(_fullest_receipt()).SerializeToString()) + _HEADER_BYTES
    openings = MOST_CAMERAS * (LONGEST_WINDOW // OPENED_EVERY)
    assert openings * receipt <= LEDGER.max_bytes
