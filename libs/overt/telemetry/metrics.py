"""The closed list of metrics. None of them, and none of their labels, is about a person.

Prometheus shows them with the unit appended: `overt_frame_lived_milliseconds_bucket`, `overt_frames_in_total`. What is
just a number has the unit "": OpenTelemetry's "1" would be shown as a ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """`labels` are names of `overt.telemetry.fields.FIELDS`; a measurement gives all of them."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()


BOUNDARIES: dict[str, tuple[float, ...]] = {
    # Dense where the promises are: a frame erased within 300 ms, an alert within 500 ms, a loop that never lags.
    "ms": (
        *(0.25, 0.5, 1, 2, 4, 6, 8, 10, 15, 20, 30, 40, 50, 75, 100, 125, 150, 200, 250, 300, 400, 500),
        *(750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 30_000),
    ),
    "By": (1e3, 4e3, 16e3, 64e3, 128e3, 256e3, 512e3, 1e6, 2e6, 4e6, 8e6),
    "": (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64),
}
"""Histogram boundaries by unit."""

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM


class Metric(Enum):
    """Add what you measure here, next to its like."""

    # Of every service
    LOOP_LAG = Definition(
        "overt_loop_lag", _HISTOGRAM, "ms", "How late the event loop ran a timer: CPU work that blocks it."
    )
    TELEMETRY_DROPPED = Definition(
        "overt_telemetry_dropped", _COUNTER, "", "Log fields, labels and so on refused as unclassified.", ("kind",)
    )
    RPC_SERVED = Definition(
        "overt_rpc_served", _HISTOGRAM, "ms", "Time a gRPC call took to serve.", ("method", "status")
    )
    BUS_MESSAGES = Definition("overt_bus_messages", _COUNTER, "", "Messages handled from the bus.", ("what", "outcome"))
    BUS_REQUESTED = Definition(
        "overt_bus_requested", _HISTOGRAM, "ms", "Time a request over the bus took.", ("what", "outcome")
    )
    BUS_CONNECTED = Definition("overt_bus_connected", _GAUGE, "", "1 while connected to the bus.")
    # Ingest
    CAMERAS_OPEN = Definition("overt_cameras_open", _GAUGE, "", "Cameras that are open.", ("deployment",))
    FRAMES_IN = Definition("overt_frames_in", _COUNTER, "", "Frames received.", ("deployment", "camera"))
    FRAMES_DESTROYED = Definition(
        "overt_frames_destroyed",
        _COUNTER,
        "",
        "Frames destroyed, by class of the ledger.",
        ("deployment", "camera", "fate"),
    )
    FRAMES_IN_FLIGHT = Definition("overt_frames_in_flight", _GAUGE, "", "Frames alive now.", ("deployment", "camera"))
    TRACKS_DESTROYED = Definition(
        "overt_tracks_destroyed",
        _COUNTER,
        "",
        "Tracks ended, by class of the ledger.",
        ("deployment", "camera", "fate"),
    )
    FRAME_LIVED = Definition(
        "overt_frame_lived", _HISTOGRAM, "ms", "Capture to destruction of a frame.", ("deployment", "camera")
    )
    FRAME_STALE = Definition(
        "overt_frame_stale", _HISTOGRAM, "ms", "Capture to the moment its analysis begins.", ("deployment", "camera")
    )
    FRAME_ANALYSED = Definition(
        "overt_frame_analysed", _HISTOGRAM, "ms", "Time detect took to answer for a frame.", ("deployment", "camera")
    )
    FRAME_HANDED_OVER = Definition(
        "overt_frame_handed_over",
        _HISTOGRAM,
        "ms",
        "Time to put a frame where detect can read it: a slot of shared memory, or a message (raw, jpeg).",
        ("deployment", "camera", "kind"),
    )
    TRACK_SEARCHED = Definition(
        "overt_track_searched", _HISTOGRAM, "ms", "Time match took to answer for a track.", ("deployment", "camera")
    )
    SIGHTING_STEP = Definition(
        "overt_sighting_step",
        _HISTOGRAM,
        "ms",
        "Time of a step of a sighting: develop, check, confirm (from the first shot's capture on), seal, deliver.",
        ("deployment", "camera", "step"),
    )
    EVIDENCE_SENT = Definition(
        "overt_evidence_sent", _COUNTER, "", "Sealed evidence, by what became of it.", ("deployment", "outcome")
    )
    EVIDENCE_BYTES = Definition("overt_evidence", _HISTOGRAM, "By", "Size of a sealed evidence message.")
    # Detect
    STREAMS_OPEN = Definition("overt_streams_open", _GAUGE, "", "Analyse streams that are open.")
    DETECT_STEP = Definition(
        "overt_detect_step",
        _HISTOGRAM,
        "ms",
        "Time of a step: decode, detect, track, align, level, template.",
        ("step",),
    )
    DETECT_FACES = Definition("overt_detect_faces", _HISTOGRAM, "", "Faces found in a frame.")
    DETECT_SHOTS = Definition("overt_detect_shots", _COUNTER, "", "Faces that were templated.")
    DETECT_REFUSED = Definition(
        "overt_detect_refused", _COUNTER, "", "Faces that were not templated, by reason.", ("reason",)
    )
    ENROLLED = Definition(
        "overt_enrolled", _COUNTER, "", "Reference pictures, by outcome: ok or a reason code.", ("outcome",)
    )
    # Match
    SEARCHES = Definition(
        "overt_searches", _COUNTER, "", "Searches, by decision or refusal.", ("deployment", "decision")
    )
    SEARCH_TOOK = Definition("overt_search_took", _HISTOGRAM, "ms", "Time of a search inside match.")
    LIST_SIZE = Definition("overt_list_size", _GAUGE, "", "Entries of the list in force.", ("deployment",))
    LIST_REVISION = Definition("overt_list_revision", _GAUGE, "", "Revision of the list in force.", ("deployment",))
    # Alerts
    ALERTS_RAISED = Definition("overt_alerts_raised", _COUNTER, "", "Alerts raised.", ("deployment",))
    ALERTS_JOINED = Definition(
        "overt_alerts_joined", _COUNTER, "", "Sightings that joined an open alert.", ("deployment",)
    )
    ALERTS_EXPIRED = Definition("overt_alerts_expired", _COUNTER, "", "Alerts whose key was destroyed.")
    ALERT_RAISED_AFTER = Definition(
        "overt_alert_raised_after", _HISTOGRAM, "ms", "Capture of the first agreeing shot to the stored alert."
    )
    KEYS_DESTROYED = Definition("overt_keys_destroyed", _COUNTER, "", "Keys destroyed.")
    # Gateway
    HTTP_SERVED = Definition(
        "overt_http_served", _HISTOGRAM, "ms", "Time a REST call took.", ("method", "route", "status")
    )
    ALERT_DELIVERED_AFTER = Definition(
        "overt_alert_delivered_after", _HISTOGRAM, "ms", "Capture of the first agreeing shot to its SSE delivery."
    )
    LISTENERS = Definition("overt_listeners", _GAUGE, "", "SSE streams that are open.")
