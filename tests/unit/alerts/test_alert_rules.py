"""When a sighting joins an alert, how long one lives, what is left of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt.ids import AlertId
from overt_alerts.domain import (
    DEFAULT_RETENTION,
    MAX_RETENTION,
    MAX_SIGHTINGS,
    Alert,
    Box,
    Card,
    EvidenceId,
    Finding,
    Part,
    buried,
    joined,
    raised,
    retention,
    takes,
)

pytestmark = pytest.mark.unit

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = AT + timedelta(seconds=1)
COOLDOWN = timedelta(seconds=60)


def finding(*, alert: str = "a", entry: str = "e", at: datetime = AT, camera: str = "gate") -> Finding:
    return Finding(
        evidence_id=EvidenceId(f"{alert}@{at.isoformat()}"),
        alert_id=AlertId(alert),
        deployment="market",
        camera=camera,
        card=Card(entry, "REF-1", "wanted_by_court", "warrant", "because", False),
        score=0.6,
        threshold=0.5,
        uncalibrated=True,
        first_captured_at=at,
        scene_face=Box(1, 2, 3, 4),
        pictures=dict.fromkeys(Part, b"\xff\xd8"),
    )


def alert(**changes: object) -> Alert:
    made = raised(finding(), now=NOW, keep_for=timedelta(hours=24), traceparent="")
    return replace(made, **changes)  # type: ignore[arg-type]  # names of its own fields


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (timedelta(0), DEFAULT_RETENTION),
        (timedelta(seconds=-5), DEFAULT_RETENTION),
        (timedelta(seconds=3), timedelta(seconds=3)),
        (timedelta(days=31), MAX_RETENTION),
        (timedelta(days=400), MAX_RETENTION),
    ],
)
def test_retention(asked: timedelta, kept: timedelta) -> None:
    assert retention(asked) == kept


@pytest.mark.parametrize(
    ("seconds", "joins"), [(0, True), (59.999, True), (60, False), (-59.999, True), (-60, False), (3600, False)]
)
def test_the_cooldown_counts_capture_times(seconds: float, joins: bool) -> None:
    later = finding(alert="b", at=AT + timedelta(seconds=seconds))
    # Arriving late changes nothing: it is when the person was there that counts.
    assert takes(alert(), later, now=NOW + timedelta(hours=1), cooldown=COOLDOWN) is joins


def test_each_sighting_begins_the_cooldown_anew() -> None:
    seen = alert()
    for step in range(1, 5):
        again = finding(alert=f"b{step}", at=AT + timedelta(seconds=50 * step))
        assert takes(seen, again, now=NOW, cooldown=COOLDOWN)
        seen = joined(seen, again)
    assert [s.captured_at for s in seen.sightings][-1] == AT + timedelta(seconds=200)


def test_another_entry_never_joins() -> None:
    assert not takes(alert(), finding(alert="b", entry="other"), now=NOW, cooldown=COOLDOWN)


def test_the_same_track_and_entry_join_whatever_the_time() -> None:
    assert takes(alert(), finding(at=AT + timedelta(hours=3)), now=NOW, cooldown=COOLDOWN)


def test_nothing_joins_an_alert_whose_time_is_over() -> None:
    assert not takes(alert(expires_at=NOW), finding(alert="b"), now=NOW, cooldown=COOLDOWN)


def test_being_seen_again_extends_nothing() -> None:
    before = alert()
    after = joined(before, finding(alert="b", at=AT + timedelta(seconds=5), camera="yard"))
    assert after.expires_at == before.expires_at
    assert (after.camera, after.score, after.first_captured_at) == (before.camera, before.score, AT)
    assert [s.camera for s in after.sightings] == ["gate", "yard"]


@given(st.integers(min_value=1, max_value=2 * MAX_SIGHTINGS))
def test_sightings_are_bounded_and_keep_the_first_and_the_last(extra: int) -> None:
    seen = alert()
    seen = replace(seen, sightings=seen.sightings * min(extra, MAX_SIGHTINGS))
    seen = joined(seen, finding(alert="last", at=AT + timedelta(seconds=9)))
    assert len(seen.sightings) == min(extra + 1, MAX_SIGHTINGS)
    assert seen.sightings[0].evidence_id == finding().evidence_id
    assert seen.sightings[-1].captured_at == AT + timedelta(seconds=9)


def test_a_tombstone_holds_ids_and_times_only() -> None:
    left = buried(alert())
    assert set(left.__dataclass_fields__) == {
        "alert_id",
        "deployment",
        "first_captured_at",
        "raised_at",
        "expires_at",
        "evidence_ids",
    }
    assert (left.alert_id, left.raised_at, left.first_captured_at) == ("a", NOW, AT)


def test_nothing_of_a_person_is_in_any_repr() -> None:
    text = repr([alert(), finding(), alert().sightings, alert().card, buried(alert())])
    for secret in ("REF-1", "wanted", "warrant", "because", "gate", "0.6", "xff"):
        assert secret not in text
