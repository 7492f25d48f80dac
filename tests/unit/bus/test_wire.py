"""What crosses the wire, and what never shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from overt.api.match.v1.match_pb2 import SearchRequest
from overt.bus import Change, Delivery, Stored
from overt.bus.consumer import Redelivery, dead_letter, dead_subject
from overt.bus.opening import _next_server
from overt.bus.streams import parsed_time
from overt.bus.wire import checked_pattern, checked_subject, decoded, encoded, error_headers, raise_error_of, what_of
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import MAX_MESSAGE_BYTES

pytestmark = pytest.mark.unit

SECRET = b"a face of somebody"


@pytest.mark.parametrize(
    "holder",
    [
        Delivery("overt.evidence.d.c", SECRET, 7, 0, ""),
        Stored("overt.alert.d.a.record", SECRET, 7, datetime.now(UTC)),
        Change("dep-1", SECRET, 7, True),
    ],
)
def test_a_repr_shows_shape_only(holder: object) -> None:
    shown = repr(holder)
    assert "face" not in shown
    assert f"{len(SECRET)} bytes" in shown
    assert "7" in shown


def test_payloads() -> None:
    request = SearchRequest(deployment="d")
    assert decoded(encoded(request), SearchRequest) == request
    assert decoded(b"raw", bytes) == b"raw"
    with pytest.raises(Rejected) as caught:
        decoded(b"\xff\xff\xff", SearchRequest)
    assert caught.value.reason is Reason.BAD_MESSAGE
    assert len(encoded(bytes(MAX_MESSAGE_BYTES))) == MAX_MESSAGE_BYTES
    with pytest.raises(Rejected):
        encoded(bytes(MAX_MESSAGE_BYTES + 1))


@pytest.mark.parametrize("error", [Rejected(Reason.CONFLICT, "read it again"), Retryable("away")])
def test_errors_travel_in_headers(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)) as caught:
        raise_error_of(error_headers(error))
    if isinstance(error, Rejected):
        assert caught.value.reason is error.reason  # type: ignore[attr-defined]


def test_a_defect_travels_without_its_words() -> None:
    assert "Jane" not in repr(error_headers(ValueError("Jane Doe")))
    with pytest.raises(Retryable):
        raise_error_of(error_headers(ValueError("Jane Doe")))


def test_a_reason_from_the_future_is_still_a_rejection() -> None:
    headers = error_headers(Rejected(Reason.CONFLICT, "x")) | {"Overt-Reason": "not_invented_yet"}
    with pytest.raises(Rejected):
        raise_error_of(headers)


def test_no_error_is_no_error() -> None:
    raise_error_of(None)
    raise_error_of({"traceparent": "x"})


def test_what_of_names_no_deployment() -> None:
    assert what_of("overt.alert.dep-1.some-alert.record") == "overt.alert"
    assert what_of("STORE.DIRECT.GET.LEDGER_dep-1.overt.ledger.dep-1.c") == "STORE.DIRECT.GET"
    assert what_of("$KV.deployments.dep-1") == "$KV.deployments"


@pytest.mark.parametrize("subject", ["overt.search.dep-1", "$KV.b.k", "$O.list_d.M.YWI="])
def test_subjects_that_are_fine(subject: str) -> None:
    assert checked_subject(subject) == subject


@pytest.mark.parametrize("pattern", [">", "overt.status.>", "overt.alert.d.*.record", "a"])
def test_patterns_that_are_fine(pattern: str) -> None:
    assert checked_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "a.>.b", "a.b*", "a..b", "a b", ".>", "a.", "a\r\nSUB x"])
def test_patterns_that_are_not(pattern: str) -> None:
    with pytest.raises(Rejected) as caught:
        checked_pattern(pattern)
    assert caught.value.reason is Reason.BAD_FIELD


def test_a_dead_letter_lies_beside_its_kind() -> None:
    assert dead_subject("dep-1", "overt.evidence.dep-1.cam") == "overt.dead.dep-1.evidence.cam"
    letter = dead_letter("overt.evidence.dep-1.cam", 3, 1, Reason.BAD_MESSAGE, datetime(2026, 1, 1, tzinfo=UTC))
    assert b'"bad_message"' in letter


def test_redeliveries_come_later_and_later() -> None:
    delays = [Redelivery().delay(n) for n in range(30)]
    assert delays[:6] == [timedelta(seconds=s) for s in (1, 2, 4, 8, 16, 30)]
    assert delays == sorted(delays)
    assert max(delays) == timedelta(seconds=30)


def test_reconnecting_backs_off_from_one_to_thirty_seconds() -> None:
    class Server:
        def __init__(self, reconnects: int) -> None:
            self.reconnects = reconnects

    def waits(reconnects: int) -> list[float]:
        return [_next_server([Server(reconnects)], {})[1] for _ in range(200)]  # type: ignore[list-item]

    assert max(waits(0)) <= 0.1
    for failures, seconds in ((1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (50, 30)):
        assert seconds * 0.6 < min(waits(failures)) <= max(waits(failures)) <= seconds
    fresh, tired = Server(1), Server(4)
    assert _next_server([tired, fresh], {})[0] is fresh  # type: ignore[list-item,comparison-overlap]


def test_the_servers_time_stamps() -> None:
    at = datetime(2026, 11, 23, 11, 14, 5, 957268, tzinfo=UTC)
    assert parsed_time("2026-11-23T11:14:05.957268031Z") == at
    assert parsed_time("2026-11-23T11:14:05.9Z") == at.replace(microsecond=900000)
    assert parsed_time("2026-11-23T11:14:05Z") == at.replace(microsecond=0)
