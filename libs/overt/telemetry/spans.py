"""The closed list of span names. What varies is an attribute, classified like a log field."""

from __future__ import annotations

from enum import StrEnum


class SpanName(StrEnum):
    """A step of the life of a frame, an alert or a request."""

    # The life of a frame
    CAMERA_SEND = "camera.send"
    FRAME = "frame"
    FRAME_ANALYSE = "frame.analyse"
    FRAME_SEARCH = "frame.search"
    DETECT_ANALYSE = "detect.analyse"
    DETECT_FACES = "detect.faces"
    DETECT_TEMPLATES = "detect.templates"
    DETECT_ENROL = "detect.enrol"
    MATCH_SEARCH = "match.search"
    SIGHTING = "sighting"
    SIGHTING_CHECK = "sighting.check"
    # What a match leaves
    EVIDENCE_SEAL = "evidence.seal"
    EVIDENCE_SEND = "evidence.send"
    ALERT_RAISE = "alerts.raise"
    ALERT_EXPIRE = "alert.expire"
    # The list, deployments, keys
    LIST_IMPORT = "list.import"
    LIST_LOAD = "list.load"
    LIST_SEAL = "list.seal"
    RECONCILE = "reconcile"
    KEYS_PREPARE = "keys.prepare"
    KEYS_DESTROY = "keys.destroy"
    # Transport
    RPC_SERVE = "rpc.serve"
    BUS_RECEIVE = "bus.receive"
    BUS_SERVE = "bus.serve"
    BUS_CONSUME = "bus.consume"
    HTTP_SERVE = "http.serve"
    GATEWAY_DELIVER = "gateway.deliver"
    UNNAMED = "unnamed"
    """Stands in, outside tests, for a name that is not in this list."""
