"""Messages of the other services, into the gateway's words and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from overt.api.alerts.v1 import alerts_pb2
from overt.api.control.v1 import control_pb2
from overt.api.ingest.v1 import ingest_pb2
from overt.api.match.v1 import match_pb2
from overt_gateway.adapters import wire, wire_lists
from overt_gateway.aim import Threshold
from overt_gateway.domain import Camera, Deployment, State
from overt_gateway.ports import Expected, NearDuplicate, NewEntry, Reference, Rival, Sight

pytestmark = pytest.mark.unit

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


def _deployment(state: State) -> Deployment:
    return Deployment(
        deployment_id="market",
        name="Märkte",
        state=state,
        starts_at=NOW,
        ends_at=NOW + timedelta(hours=5),
        cameras=(Camera("a", "A", "rtsp://u:p@h/s", 40.0, ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0))), Camera("b", "B")),
        threshold=0.5,
        alert_retention=timedelta(days=1),
        sealing_public_key=bytes(range(32)),
        created_at=NOW,
        created_by="someone",
        list_digest="ab",
        list_size=3,
        calibration_digest="cd",
        target_fpir=1e-3,
        under_18_threshold=6.5,
        threshold_extrapolated=True,
    )


@pytest.mark.parametrize("state", list(State))
def test_a_deployment_comes_back_as_it_went(state: State) -> None:
    message = control_pb2.Deployment.FromString(wire.to_deployment(_deployment(state)).SerializeToString())
    assert wire.from_deployment(message) == _deployment(state)


def test_a_state_of_a_newer_version_is_over() -> None:
    message = wire.to_deployment(_deployment(State.ACTIVE))
    message.state = 99  # type: ignore[assignment]
    assert wire.from_deployment(message).state.is_over


def test_a_record_without_times_is_still_read() -> None:
    assert wire.from_deployment(control_pb2.Deployment(deployment_id="x")).ends_at.year == 1970


def test_an_entry_is_passed_on_whole() -> None:
    entry = NewEntry("r", "other", "b", "s", "why", NOW, True, (Reference(b"t1", b"j1"), Reference(b"t2", b"j2")))
    message = wire_lists.to_entry(entry)
    assert (message.subject_ref, message.category, message.under_18) == ("r", "other", True)
    assert [(r.template, r.jpeg) for r in message.references] == [(b"t1", b"j1"), (b"t2", b"j2")]
    assert message.expires_at.ToDatetime(UTC) == NOW
    assert "t1" not in repr(entry)


def test_an_alert_event() -> None:
    message = alerts_pb2.AlertEvent(kind=alerts_pb2.AlertEvent.KIND_SIGHTED_AGAIN)
    message.alert.alert_id = "a"
    message.alert.state = alerts_pb2.Alert.STATE_OPEN
    message.alert.scene_face.x = 3
    message.alert.raised_at.FromDatetime(NOW)
    message.alert.sightings.add(camera="gate", score=0.5)
    assert wire.from_alert(message.alert).rival is None
    message.alert.rival.subject_ref = "other"
    event = wire.from_event(message)
    assert event is not None
    assert event.kind == "sighted_again"
    assert event.alert.raised_at == NOW
    assert event.alert.scene_face == (3, 0, 0, 0)
    assert event.alert.sightings[0].camera == "gate"
    assert event.alert.rival == Rival("", "other", "", False)
    assert wire.from_event(alerts_pb2.AlertEvent()) is None
    assert wire.from_alert(alerts_pb2.Alert()).scene_face is None
    assert wire.from_alert(alerts_pb2.Alert()).state == "expired", "what is not known to be open shows nothing"


def test_what_match_says_of_a_list() -> None:
    assert wire_lists.from_list(match_pb2.ListReply(revision=1)).calibration is None
    calibration = match_pb2.Calibration(digest="ab", groups={"one": 3}, best=50, a=1.5, tells_misses=True)
    calibration.made_at.FromDatetime(NOW)
    told = wire_lists.from_list(match_pb2.ListReply(calibration=calibration)).calibration
    assert told is not None
    assert (told.digest, told.groups, told.best, told.made_at) == ("ab", {"one": 3}, 50, NOW)
    assert wire_lists.from_sealed(match_pb2.SealReply(digest="cd")).threshold is None
    threshold = match_pb2.Threshold(score=-0.2, under_18_score=0.5, target_fpir=0.01, calibration_digest="ab")
    sealed = wire_lists.from_sealed(match_pb2.SealReply(threshold=threshold))
    assert sealed.threshold == Threshold(-0.2, 0.5, 0.01, extrapolated=False, calibration_digest="ab")
    near = match_pb2.NearDuplicate(position=2, entry_id="e", cosine=0.75)
    assert wire_lists.from_added(match_pb2.ImportReply(near_duplicates=[near])).near_duplicates == (
        NearDuplicate(2, "e", 0.75),
    )
    forecast = wire_lists.from_forecast(
        match_pb2.ForecastReply(fpir=match_pb2.ExpectedRate(value=0.5, low=0.25, high=0.75, extrapolated=True))
    )
    assert forecast.fpir == Expected(0.5, 0.25, 0.75, extrapolated=True)
    assert forecast.missed is None


def test_a_status() -> None:
    message = ingest_pb2.CameraStatus(sight=ingest_pb2.CameraStatus.SIGHT_SEEING, faces_seen=5)
    assert wire.from_status(message).sight is Sight.SEEING
    assert wire.from_status(message).at is None
    assert wire.from_status(ingest_pb2.CameraStatus()).sight is Sight.BLIND
