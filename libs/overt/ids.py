"""Ids: which are derived, which are random, and the names of keys. One function for each."""

from __future__ import annotations

import uuid
from typing import NewType

from overt.errors import Rejected
from overt.reasons import Reason

AlertId = NewType("AlertId", str)
EntryId = NewType("EntryId", str)
Epoch = NewType("Epoch", str)
StreamId = NewType("StreamId", str)
TrackKey = NewType("TrackKey", str)
KeyId = NewType("KeyId", str)

_ALERTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:overt:alert")
"""Never change it: a redelivered sighting must find its alert."""


def alert_id(deployment: str, camera: str, track: str, entry_id: str) -> AlertId:
    """The same four always give the same id, so a redelivery cannot double an alert. `track` is a track key:
    a bare track number comes again with the next stream. Rejected(BAD_FIELD) if a part is empty or holds "/"."""
    parts = (deployment, camera, track, entry_id)
    if any(not part or "/" in part for part in parts):
        raise Rejected(Reason.BAD_FIELD, 'the parts of an alert id are not empty and hold no "/"')
    return AlertId(str(uuid.uuid5(_ALERTS, "/".join(parts))))


def track_key(stream: StreamId, track: int) -> TrackKey:
    """A track beyond its stream: unique among all streams of all cameras."""
    return TrackKey(f"{stream}-{track}")


def new_stream_id() -> StreamId:
    """For one opening of a camera's stream to detect."""
    return StreamId(uuid.uuid4().hex)


def new_epoch() -> Epoch:
    """For one life of a process."""
    return Epoch(str(uuid.uuid4()))


def new_entry_id() -> EntryId:
    """For an entry of a list. Random: nothing of the person is in it."""
    return EntryId(str(uuid.uuid4()))


def sealing_key_id(deployment: str) -> KeyId:
    """The key that opens a deployment's evidence."""
    return KeyId(f"deployment/{deployment}/sealing")


def list_key_id(deployment: str, generation: int) -> KeyId:
    """A generation of a deployment's list secret."""
    return KeyId(f"deployment/{deployment}/list/{generation}")


def alert_key_id(deployment: str, alert: str) -> KeyId:
    """The key an alert lives and dies with."""
    return KeyId(f"alert/{deployment}/{alert}")
