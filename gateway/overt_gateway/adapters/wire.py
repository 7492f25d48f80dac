"""Between the messages of overt.api and the gateway's own words; for those about lists see `wire_lists`."""

from __future__ import annotations

from datetime import UTC, datetime

from overt.api.alerts.v1 import alerts_pb2
from overt.api.control.v1 import control_pb2
from overt.api.ingest.v1 import ingest_pb2
from overt.api.types.v1 import types_pb2
from overt.wire import from_duration, optional_from_timestamp, to_duration, to_timestamp

from overt_gateway.domain import Camera, Deployment, State
from overt_gateway.ports import Alert, AlertEvent, CameraState, Rival, Sight, Sighting

NEVER = datetime.fromtimestamp(0, UTC)
"""Stands for a time that was not set: only an old or broken record has none."""

_STATES = {state: getattr(control_pb2.Deployment, f"STATE_{state.name}") for state in State}
_STATES_BACK = {number: state for state, number in _STATES.items()}
_SIGHTS = {
    ingest_pb2.CameraStatus.SIGHT_WAITING: Sight.WAITING,
    ingest_pb2.CameraStatus.SIGHT_SEEING: Sight.SEEING,
    ingest_pb2.CameraStatus.SIGHT_BLIND: Sight.BLIND,
    ingest_pb2.CameraStatus.SIGHT_CLOSED: Sight.CLOSED,
}
_ALERT_STATES = {alerts_pb2.Alert.STATE_OPEN: "open", alerts_pb2.Alert.STATE_EXPIRED: "expired"}
_EVENTS = {
    alerts_pb2.AlertEvent.KIND_RAISED: "raised",
    alerts_pb2.AlertEvent.KIND_SIGHTED_AGAIN: "sighted_again",
    alerts_pb2.AlertEvent.KIND_EXPIRED: "expired",
}


def to_deployment(deployment: Deployment) -> control_pb2.Deployment:
    """As it is stored and as every service reads it."""
    return control_pb2.Deployment(
        deployment_id=deployment.deployment_id,
        name=deployment.name,
        state=_STATES[deployment.state],
        starts_at=to_timestamp(deployment.starts_at),
        ends_at=to_timestamp(deployment.ends_at),
        cameras=[
            control_pb2.Camera(
                camera_id=camera.camera_id,
                name=camera.name,
                source_url=camera.source_url,
                smallest_face_px=camera.smallest_face_px,
                zone=[types_pb2.Point(x=x, y=y) for x, y in camera.zone],
            )
            for camera in deployment.cameras
        ],
        threshold=deployment.threshold,
        alert_retention=to_duration(deployment.alert_retention),
        sealing_public_key=deployment.sealing_public_key,
        authority=deployment.authority,
        created_at=to_timestamp(deployment.created_at),
        created_by=deployment.created_by,
        list_digest=deployment.list_digest,
        list_size=deployment.list_size,
        calibration_digest=deployment.calibration_digest,
        target_fpir=deployment.target_fpir,
        under_18_threshold=deployment.under_18_threshold,
        threshold_extrapolated=deployment.threshold_extrapolated,
    )


def from_deployment(message: control_pb2.Deployment) -> Deployment:
    return Deployment(
        deployment_id=message.deployment_id,
        name=message.name,
        # A state that this version does not know is treated as over: nothing can be done with it.
        state=_STATES_BACK.get(message.state, State.ENDED),
        starts_at=optional_from_timestamp(message.starts_at) or NEVER,
        ends_at=optional_from_timestamp(message.ends_at) or NEVER,
        cameras=tuple(
            Camera(
                camera_id=camera.camera_id,
                name=camera.name,
                source_url=camera.source_url,
                smallest_face_px=camera.smallest_face_px,
                zone=tuple((point.x, point.y) for point in camera.zone),
            )
            for camera in message.cameras
        ),
        threshold=message.threshold,
        alert_retention=from_duration(message.alert_retention),
        sealing_public_key=message.sealing_public_key,
        created_at=optional_from_timestamp(message.created_at) or NEVER,
        created_by=message.created_by,
        authority=message.authority,
        list_digest=message.list_digest,
        list_size=message.list_size,
        calibration_digest=message.calibration_digest,
        target_fpir=message.target_fpir,
        under_18_threshold=message.under_18_threshold,
        threshold_extrapolated=message.threshold_extrapolated,
    )


def from_alert(message: alerts_pb2.Alert) -> Alert:
    face = message.scene_face
    return Alert(
        alert_id=message.alert_id,
        deployment=message.deployment,
        state=_ALERT_STATES.get(message.state, "expired"),
        camera=message.camera,
        entry_id=message.entry_id,
        subject_ref=message.subject_ref,
        category=message.category,
        reason=message.reason,
        legal_basis=message.legal_basis,
        under_18=message.under_18,
        score=message.score,
        threshold=message.threshold,
        uncalibrated=message.uncalibrated,
        first_captured_at=optional_from_timestamp(message.first_captured_at) or NEVER,
        raised_at=optional_from_timestamp(message.raised_at) or NEVER,
        expires_at=optional_from_timestamp(message.expires_at) or NEVER,
        sightings=tuple(
            Sighting(s.camera, optional_from_timestamp(s.captured_at) or NEVER, s.score) for s in message.sightings
        ),
        scene_face=(face.x, face.y, face.width, face.height) if message.HasField("scene_face") else None,
        traceparent=message.traceparent,
        rival=_rival(message.rival) if message.HasField("rival") else None,
    )


def _rival(message: alerts_pb2.Rival) -> Rival:
    return Rival(message.entry_id, message.subject_ref, message.category, message.under_18)


def from_event(message: alerts_pb2.AlertEvent) -> AlertEvent | None:
    """None for a kind that this version does not know."""
    kind = _EVENTS.get(message.kind)
    return AlertEvent(kind, from_alert(message.alert)) if kind else None


def from_status(message: ingest_pb2.CameraStatus) -> CameraState:
    return CameraState(
        sight=_SIGHTS.get(message.sight, Sight.BLIND),
        reason=message.reason,
        frames_per_second=message.frames_per_second,
        analysed_per_second=message.analysed_per_second,
        faces_seen=message.faces_seen,
        frames_destroyed=message.frames_destroyed,
        at=optional_from_timestamp(message.at),
    )
