"""The closed lists: what is not classified is refused, in tests loudly, in production by dropping and counting."""

from __future__ import annotations

import enum
from pathlib import Path

import numpy as np
import pytest
from overt.telemetry import Classification, Metric, SpanName, Unclassified, get_logger, span
from overt.telemetry import fields as closed
from overt.telemetry.fields import FIELDS, MAX_CHARACTERS, admitted

pytestmark = pytest.mark.unit

log = get_logger("overt.tests")

PERSONAL = (
    {"name", "subject_ref", "date_of_birth", "face", "template", "embedding", "probe", "jpeg", "image", "crop"}
    | {"frame", "picture", "pixels", "token", "password", "secret", "authorization", "url", "source_url", "query"}
    | {"message", "error_message", "body", "client", "ip", "user_agent", "landmarks", "box", "args", "locals"}
)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OVERT_STRICT_TELEMETRY")


def dropped(kind: str) -> int:
    return closed.dropped[kind]


def test_tests_run_strict() -> None:
    assert closed.strict()


def test_an_unclassified_field_is_raised_when_strict() -> None:
    with pytest.raises(Unclassified, match="shoe_size"):
        log.debug("looked_at", shoe_size=43)


def test_an_unclassified_field_is_dropped_and_counted_otherwise(
    lenient: None, caplog: pytest.LogCaptureFixture
) -> None:
    before = dropped("log_field")
    log.warning("looked_at", shoe_size=43, camera="north")
    assert dropped("log_field") == before + 1
    assert caplog.records[-1].overt_fields == {"camera": "north"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(PERSONAL))
def test_nothing_personal_has_a_name_here(name: str) -> None:
    assert name not in FIELDS


def test_a_field_is_not_one_of_telemetrys_own_keys() -> None:
    assert set(FIELDS) & closed.WRITTEN_BY_TELEMETRY == set()


@pytest.mark.parametrize(
    "value",
    [b"\xff\xd8", bytearray(2), np.zeros(3), np.float32(0.5), [1], {"a": 1}, (1,), object(), Path("/x")],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_kinds_are_refused(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unclassified, match=type(value).__name__):
        admitted("log_field", {"count": value})
    monkeypatch.delenv("OVERT_STRICT_TELEMETRY")
    assert admitted("log_field", {"count": value}) == {}


def test_plain_values_pass() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    given = {"count": 1, "fps": 2.5, "state": Colour.RED, "what": None, "in_flight": True, "threshold": np.float64(1)}
    kept = admitted("log_field", given)
    assert kept == {"count": 1, "fps": 2.5, "state": "red", "what": None, "in_flight": True, "threshold": 1.0}
    assert type(kept["state"]) is str
    assert type(kept["threshold"]) is float
    assert admitted("log_field", {"fps": float("nan")}) == {"fps": "nan"}


def test_text_is_cut() -> None:
    kept = admitted("log_field", {"what": "x" * 1000})["what"]
    assert isinstance(kept, str)
    assert len(kept) == MAX_CHARACTERS


def test_a_url_with_a_user_is_refused() -> None:
    with pytest.raises(Unclassified, match="URL"):
        admitted("log_field", {"address": "rtsp://admin:hunter2@10.0.0.1/stream"})


@pytest.mark.parametrize("name", ["error", "reason", "outcome", "fate"])
def test_a_code_is_not_a_sentence(name: str) -> None:
    assert admitted("log_field", {name: "too_small"})
    with pytest.raises(Unclassified):
        admitted("log_field", {name: "invalid literal for int(): 'Ada Lovelace'"})


def test_an_event_is_a_constant_name() -> None:
    with pytest.raises(Unclassified):
        log.info("camera north opened")


def test_a_span_attribute_and_a_span_name_are_refused_alike(lenient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dropped("span_name"), dropped("span_attribute")
    with span("made.up", shoe_size=43):
        pass
    assert (dropped("span_name"), dropped("span_attribute")) == (before[0] + 1, before[1] + 1)
    monkeypatch.setenv("OVERT_STRICT_TELEMETRY", "1")
    with pytest.raises(Unclassified), span("made.up"):
        pass
    with pytest.raises(Unclassified), span(SpanName.FRAME, shoe_size=43):
        pass


@pytest.mark.parametrize("metric", list(Metric), ids=lambda metric: metric.name)
def test_metric_labels_are_classified_and_nobodys_pseudonym(metric: Metric) -> None:
    assert all(FIELDS[label] is Classification.OPERATIONAL for label in metric.value.labels)


def test_metric_names_are_unique_and_explained() -> None:
    names = [metric.value.name for metric in Metric]
    assert len(set(names)) == len(names)
    assert all(name.startswith("overt_") for name in names)
    assert all(metric.value.help.endswith(".") for metric in Metric)
