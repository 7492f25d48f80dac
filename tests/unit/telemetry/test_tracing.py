"""Spans: parents and links by W3C traceparent; of an exception its type; nothing at all while tracing is off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from overt.telemetry import SpanName, Unclassified, current_traceparent, span
from overt.testing.telemetry import recorded_telemetry

pytestmark = pytest.mark.unit

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_off_means_nothing() -> None:
    with span(SpanName.FRAME, parent=PARENT, camera="north") as step:
        step.set(deployment="market-square")
        step.fail("ValueError")
        assert step.traceparent == ""
        assert current_traceparent() == ""


def test_no_global_provider_is_set() -> None:
    with recorded_telemetry():
        assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"


def test_a_span_is_a_child_of_the_one_around_it() -> None:
    with recorded_telemetry() as recorded:
        with span(SpanName.FRAME) as frame, span(SpanName.FRAME_ANALYSE, camera="north"):
            inner = current_traceparent()
        assert current_traceparent() == ""
        analyse, whole = recorded.spans
    assert analyse.name == "frame.analyse"
    assert analyse.attributes == {"camera": "north"}
    assert analyse.parent is not None
    assert whole.context is not None
    assert analyse.parent.span_id == whole.context.span_id
    assert inner.split("-")[1] == frame.traceparent.split("-")[1]
    assert inner.split("-")[2] != frame.traceparent.split("-")[2]


def test_a_parent_comes_from_the_wire() -> None:
    with recorded_telemetry() as recorded:
        with span(SpanName.FRAME), span(SpanName.RPC_SERVE, parent=PARENT):
            pass
        served = recorded.spans[0]
    assert served.parent is not None
    assert f"{served.parent.trace_id:032x}-{served.parent.span_id:016x}" == PARENT[3:52]


@pytest.mark.parametrize("parent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 10_000])
def test_no_parent_on_the_wire_begins_a_trace(parent: str) -> None:
    with recorded_telemetry() as recorded:
        with span(SpanName.RPC_SERVE), span(SpanName.FRAME, parent=parent):
            pass
        assert recorded.spans[0].parent is None


def test_an_unsampled_parent_is_followed() -> None:
    with recorded_telemetry() as recorded, span(SpanName.FRAME, parent=PARENT[:-1] + "0") as frame:
        assert frame.traceparent.endswith("-00")
    assert recorded.spans == ()


def test_links_that_do_not_parse_are_left_out() -> None:
    with recorded_telemetry() as recorded:
        with span(SpanName.GATEWAY_DELIVER, links=[PARENT, "", "nonsense"]):
            pass
        (link,) = recorded.spans[0].links
    assert f"{link.context.trace_id:032x}" == PARENT[3:35]


def test_of_an_exception_the_type_is_told_and_nothing_else() -> None:
    with recorded_telemetry() as recorded:
        with pytest.raises(ValueError), span(SpanName.FRAME):
            raise ValueError("Ada Lovelace")
        (frame,) = recorded.spans
    assert frame.status.status_code is StatusCode.ERROR
    assert frame.attributes == {"error": "ValueError"}
    assert frame.events == ()
    assert "Ada" not in frame.to_json()


def test_a_cancelled_span_is_not_an_error() -> None:
    with recorded_telemetry() as recorded:
        with pytest.raises(asyncio.CancelledError), span(SpanName.FRAME):
            raise asyncio.CancelledError
        assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_attributes_are_set_later_too_and_none_is_left_out() -> None:
    with recorded_telemetry() as recorded:
        with span(SpanName.FRAME, reason=None) as frame:
            frame.set(faces=2, reason=None)
            with pytest.raises(Unclassified):
                frame.set(shoe_size=43)
        assert recorded.spans[0].attributes == {"faces": 2}


async def test_tasks_have_their_own_span() -> None:
    with recorded_telemetry():
        seen: dict[str, str] = {}

        async def work(name: str) -> None:
            with span(SpanName.FRAME):
                await asyncio.sleep(0)
                seen[name] = current_traceparent()

        await asyncio.gather(work("a"), work("b"))
        assert seen["a"].split("-")[1] != seen["b"].split("-")[1]
        assert current_traceparent() == ""


async def test_a_stream_closed_from_elsewhere_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def stream() -> AsyncIterator[int]:
        with span(SpanName.RPC_SERVE):
            yield 1

    with recorded_telemetry() as recorded:
        answers = stream()
        assert await anext(answers) == 1
        await asyncio.create_task(answers.aclose())  # type: ignore[attr-defined]
        assert [found.name for found in recorded.spans] == ["rpc.serve"]
    assert caplog.records == []
