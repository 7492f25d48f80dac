"""Derived ids, and the way between protobuf fields and what the code works with."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from overt import ids, wire
from overt.errors import Rejected
from overt.reasons import Reason

pytestmark = pytest.mark.unit


def test_alert_id_is_the_same_for_the_same_four_and_for_ever() -> None:
    alert = ids.alert_id("dep", "north", "s1-7", "entry")
    assert alert == ids.alert_id("dep", "north", "s1-7", "entry")
    # Written down: changing how it is derived would double the alerts of a deployment under way.
    assert alert == "b59434b8-cc52-53cb-907b-f70541892027"
    assert uuid.UUID(alert).version == 5


def test_alert_id_differs_in_each_part() -> None:
    parts = ["dep", "north", "s1-7", "entry"]
    alerts = {ids.alert_id(*parts)} | {ids.alert_id(*[*parts[:i], "x", *parts[i + 1 :]]) for i in range(4)}
    assert len(alerts) == 5


@pytest.mark.parametrize("part", ["", "a/b"])
def test_alert_id_is_not_ambiguous(part: str) -> None:
    with pytest.raises(Rejected) as caught:
        ids.alert_id("dep", part, "t", "e")
    assert caught.value.reason is Reason.BAD_FIELD


def test_track_keys_differ_between_streams() -> None:
    first, second = ids.new_stream_id(), ids.new_stream_id()
    assert ids.track_key(first, 1) != ids.track_key(second, 1)
    assert ids.alert_id("dep", "north", ids.track_key(first, 1), "e")


def test_names_of_keys() -> None:
    assert ids.sealing_key_id("d") == "deployment/d/sealing"
    assert ids.list_key_id("d", 3) == "deployment/d/list/3"
    assert ids.alert_key_id("d", "a") == "alert/d/a"


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_times_come_back(moment: datetime) -> None:
    assert wire.from_timestamp(wire.to_timestamp(moment)) == moment


def test_times_are_utc_and_never_naive() -> None:
    elsewhere = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    back = wire.from_timestamp(wire.to_timestamp(elsewhere))
    assert back == elsewhere
    assert back.tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        wire.to_timestamp(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "timestamp",
    [
        Timestamp(),
        Timestamp(seconds=10**15),
        Timestamp(seconds=-(10**15)),
        Timestamp(seconds=1, nanos=-5),
        Timestamp(seconds=1, nanos=2_000_000_000),
    ],
    ids=["unset", "late", "early", "negative", "too many"],
)
def test_times_that_are_none(timestamp: Timestamp) -> None:
    with pytest.raises(Rejected) as caught:
        wire.from_timestamp(timestamp)
    assert caught.value.reason is Reason.BAD_MESSAGE


def test_optional_time() -> None:
    assert wire.optional_from_timestamp(Timestamp()) is None
    assert wire.optional_from_timestamp(Timestamp(seconds=1)) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


@given(st.timedeltas(min_value=timedelta(days=-3650), max_value=timedelta(days=3650)))
def test_durations_come_back(span: timedelta) -> None:
    assert wire.from_duration(wire.to_duration(span)) == span


@pytest.mark.parametrize(
    "duration", [Duration(seconds=10**18), Duration(seconds=1, nanos=-1), Duration(nanos=2**31 - 1)], ids=str
)
def test_durations_out_of_range(duration: Duration) -> None:
    with pytest.raises(Rejected) as caught:
        wire.from_duration(duration)
    assert caught.value.reason is Reason.BAD_MESSAGE


def unit_vector(length: int = 128, seed: int = 1) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=length).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


@pytest.mark.parametrize("length", [1, 128, 512, 2048])
def test_templates_come_back(length: int) -> None:
    template = unit_vector(length)
    data = wire.template_to_bytes(template)
    assert len(data) == 4 * length
    back = wire.template_from_bytes(data, length=length)
    assert back.dtype == np.float32
    assert np.array_equal(back, template)
    assert np.array_equal(wire.template_from_bytes(data), template)
    assert not back.flags.writeable


def test_templates_are_little_endian() -> None:
    template = unit_vector()
    assert wire.template_to_bytes(template) == template.astype("<f4").tobytes()
    assert wire.template_to_bytes(template.astype(">f4")) == template.astype("<f4").tobytes()


def _with(value: float) -> bytes:
    template = unit_vector()
    template[3] = value
    return template.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 3,
        unit_vector().tobytes()[:-1],
        unit_vector().tobytes() + b"\x00",
        unit_vector(127).tobytes(),
        unit_vector(4096).tobytes(),
        b"\x00" * 512,
        _with(math.nan),
        _with(math.inf),
        _with(-math.inf),
        _with(3.4e38),
        (unit_vector() * np.float32(1.002)).tobytes(),
        (unit_vector() * np.float32(0.998)).tobytes(),
    ],
    ids=lambda data: str(len(data)),
)
def test_what_is_no_template(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        wire.template_from_bytes(data, length=128)
    assert caught.value.reason is Reason.BAD_MESSAGE


def test_norm_within_tolerance_is_taken() -> None:
    wire.template_from_bytes((unit_vector() * np.float32(1.0009)).tobytes())


@given(st.binary(max_size=600))
def test_any_bytes_give_a_unit_vector_or_a_rejection(data: bytes) -> None:
    try:
        template = wire.template_from_bytes(data)
    except Rejected:
        return
    assert abs(float(np.linalg.norm(template.astype(np.float64))) - 1) <= wire.NORM_TOLERANCE


@pytest.mark.parametrize(
    "template", [np.zeros(128, np.float32), np.full(128, np.nan, np.float32), unit_vector().reshape(2, 64)]
)
def test_a_defect_here_does_not_reach_the_wire(template: np.ndarray) -> None:
    with pytest.raises(ValueError, match="unit length"):
        wire.template_to_bytes(template)
