"""Every reason code of every rejection, drop and refusal. Codes are a contract: add, never rename."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A stable code; its value is what receipts, REST errors, ledgers and metrics carry."""

    # A picture that cannot be used
    NOT_A_JPEG = "not_a_jpeg"
    NOT_A_PICTURE = "not_a_picture"
    TRUNCATED = "truncated"
    PICTURE_TOO_SMALL = "picture_too_small"
    PICTURE_TOO_LARGE = "picture_too_large"
    MESSAGE_TOO_LARGE = "message_too_large"
    CLOCK = "clock"
    SEQUENCE = "sequence"

    # A face that cannot be used: on enrolment the answer, on a track why there was no shot
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    EXTREME_POSE = "extreme_pose"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    LOW_CONFIDENCE = "low_confidence"

    # A good face that is not templated
    OUTSIDE_ZONE = "outside_zone"
    NOT_TRACKED = "not_tracked"
    NOT_BETTER = "not_better"
    NEXT_FRAME = "next_frame"
    SETTLED = "settled"

    # A frame or search that was not served
    DETECT_AWAY = "detect_away"
    MATCH_AWAY = "match_away"
    INGEST_AWAY = "ingest_away"
    DEADLINE = "deadline"
    NOT_DECODED = "not_decoded"
    TOO_OLD = "too_old"
    NO_RING = "no_ring"
    STALE_SLOT = "stale_slot"
    CAMERA_CLOSED = "camera_closed"
    LIST_NOT_READY = "list_not_ready"
    LIST_NOT_SEALED = "list_not_sealed"
    LIST_SEALED = "list_sealed"
    MODEL_MISMATCH = "model_mismatch"
    EVIDENCE_LOST = "evidence_lost"
    UNCONFIRMED = "unconfirmed"
    LEDGER_AWAY = "ledger_away"
    SOURCE_LOST = "source_lost"
    SOURCE_STALLED = "source_stalled"

    # Who asks
    TOKEN_MISSING = "token_missing"  # noqa: S105
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    CODE_INVALID = "code_invalid"
    NO_ISSUER = "no_issuer"
    NOT_ALLOWED = "not_allowed"
    SAME_PERSON = "same_person"
    WRONG_CAMERA = "wrong_camera"
    UNKNOWN_CAMERA = "unknown_camera"
    UNKNOWN_DEPLOYMENT = "unknown_deployment"
    UNKNOWN_ENTRY = "unknown_entry"
    UNKNOWN_ALERT = "unknown_alert"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_ROUTE = "unknown_route"
    CAMERA_BUSY = "camera_busy"
    WRONG_STATE = "wrong_state"
    OUTSIDE_WINDOW = "outside_window"
    NO_CAMERA = "no_camera"
    LIST_EMPTY = "list_empty"
    LIST_NOT_EMPTY = "list_not_empty"
    UNCALIBRATED = "uncalibrated"
    CONFLICT = "conflict"
    RETRIES_EXHAUSTED = "retries_exhausted"
    EXPIRED = "expired"

    # Input that does not parse
    BAD_FIELD = "bad_field"
    BAD_MESSAGE = "bad_message"
    BAD_MANIFEST = "bad_manifest"
    BAD_ARCHIVE = "bad_archive"
    BAD_COHORT = "bad_cohort"
    UNSAFE_PATH = "unsafe_path"
    MISSING_IMAGE = "missing_image"
    DUPLICATE_SUBJECT = "duplicate_subject"
    TOO_MANY_ENTRIES = "too_many_entries"
    UNKNOWN_CATEGORY = "unknown_category"

    # Over HTTP: what is not the caller's fault
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"
