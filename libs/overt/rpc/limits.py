"""Limits and intervals that both ends of a call share."""

from __future__ import annotations

from datetime import timedelta

from overt.limits import MAX_COHORT_BYTES
from overt.pictures import MOST_BYTES

MAX_MESSAGE_BYTES = MOST_BYTES + 64 * 1024
"""The largest picture and what goes with it."""

MAX_WATCHLISTS_MESSAGE_BYTES = MAX_COHORT_BYTES + 64 * 1024
"""Between gateway and match: a cohort file is larger than any picture. Both ends say so."""

UNARY_DEADLINE = timedelta(seconds=10)
"""For calls that give none. A service answers within milliseconds; import and enrolment within seconds."""

KEEPALIVE_EVERY = timedelta(seconds=10)
KEEPALIVE_PATIENCE = timedelta(seconds=5)
"""A peer that vanished without a word is noticed within 15 s, so that its camera can open a new stream."""

LEAST_PING_INTERVAL = timedelta(seconds=5)
"""What a server puts up with: half of what our clients do. gRPC's own is 5 minutes, and would cut them off."""

LONGEST_RECONNECT_BACKOFF = timedelta(seconds=2)
"""gRPC's own is 2 minutes: a restarted detect would stay blind to a waiting ingest that long."""


def milliseconds(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))
