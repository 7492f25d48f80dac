"""Core subjects: what listens hears, what serves answers, nothing is stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from overt.api.ingest.v1.ingest_pb2 import CameraStatus
from overt.api.match.v1.match_pb2 import SearchReply, SearchRequest
from overt.bus import Bus
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import MAX_MESSAGE_BYTES, PREVIEW, SEARCH, STATUS, Service
from overt.telemetry import SpanName, span
from overt.testing.telemetry import recorded_telemetry

pytestmark = pytest.mark.contract

SECOND = timedelta(seconds=1)
Until = Callable[..., Awaitable[None]]


async def _echo(_: str, request: SearchRequest) -> SearchReply:
    return SearchReply(entry_id=request.camera)


async def _ask(bus: Bus, camera: str = "cam", timeout: timedelta = SECOND) -> SearchReply:
    return await bus.request(SEARCH.of("dep-1"), SearchRequest(camera=camera), SearchReply, timeout=timeout)


async def test_listener_hears_in_order(ingest: Bus, gateway: Bus, until: Until) -> None:
    heard: list[tuple[str, int]] = []

    async def handler(subject: str, status: CameraStatus) -> None:
        await asyncio.sleep(0)
        heard.append((subject, status.faces_seen))

    await gateway.subscribe(STATUS.every, CameraStatus, handler)
    for n in range(50):
        await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus(faces_seen=n))
    await until(lambda: len(heard) == 50)
    assert heard == [("overt.status.dep-1.cam", n) for n in range(50)]


async def test_bytes_travel_as_they_are(ingest: Bus, gateway: Bus, until: Until) -> None:
    heard: list[bytes] = []

    async def handler(_: str, jpeg: bytes) -> None:
        heard.append(jpeg)

    await gateway.subscribe(PREVIEW.of("dep-1", "cam"), bytes, handler)
    await ingest.publish(PREVIEW.of("dep-1", "cam"), b"\xff\xd8 picture")
    await ingest.publish(PREVIEW.of("dep-1", "other"), b"another camera's")
    await until(lambda: heard == [b"\xff\xd8 picture"])


async def test_a_bad_message_and_a_failing_handler_do_not_stop_the_next(
    ingest: Bus, gateway: Bus, until: Until
) -> None:
    heard: list[int] = []

    async def handler(_: str, status: CameraStatus) -> None:
        heard.append(status.faces_seen)
        if status.faces_seen == 1:
            raise ValueError("a defect")

    await gateway.subscribe(STATUS.every, CameraStatus, handler)
    await ingest.publish(STATUS.of("dep-1", "cam"), b"\xff\xff\xff not protobuf")
    for n in (1, 2):
        await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus(faces_seen=n))
    await until(lambda: heard == [1, 2])


async def test_closing_a_subscription_finishes_what_is_at_work(ingest: Bus, gateway: Bus, until: Until) -> None:
    began, finished = asyncio.Event(), []

    async def handler(_: str, status: CameraStatus) -> None:
        began.set()
        await asyncio.sleep(0.1)
        finished.append(status.faces_seen)

    subscription = await gateway.subscribe(STATUS.every, CameraStatus, handler)
    await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus(faces_seen=1))
    await began.wait()
    await subscription.close()
    assert finished == [1]
    await subscription.close()
    await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus(faces_seen=2))
    await asyncio.sleep(0.05)
    assert finished == [1]


async def test_request_is_answered_with_its_subject_known(ingest: Bus, match: Bus) -> None:
    async def handler(subject: str, request: SearchRequest) -> SearchReply:
        return SearchReply(entry_id=f"{subject} {request.camera}")

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    assert (await _ask(ingest)).entry_id == "overt.search.dep-1 cam"


async def test_handlers_run_side_by_side_up_to_the_limit(ingest: Bus, match: Bus) -> None:
    at_work, most = 0, 0

    async def handler(_: str, request: SearchRequest) -> SearchReply:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.03)
        at_work -= 1
        return SearchReply(entry_id=request.camera)

    await match.serve(SEARCH, SearchRequest, handler, name="search", max_in_flight=4)
    replies = await asyncio.gather(*(_ask(ingest, f"c{n}") for n in range(12)))
    assert [r.entry_id for r in replies] == [f"c{n}" for n in range(12)]
    assert most == 4


async def test_too_many_requests_are_told_at_once(ingest: Bus, match: Bus) -> None:
    gate = asyncio.Event()

    async def handler(_: str, request: SearchRequest) -> SearchReply:
        await gate.wait()
        return SearchReply()

    await match.serve(SEARCH, SearchRequest, handler, name="search", max_in_flight=1)
    asking = [asyncio.create_task(_ask(ingest, timeout=timedelta(seconds=5))) for _ in range(8)]
    refused, _ = await asyncio.wait(asking, timeout=0.5)
    assert len(refused) == 3
    assert all("too many" in str(task.exception()) for task in refused)
    gate.set()
    await asyncio.wait(asking)
    assert sum(task.exception() is None for task in asking) == 5


async def test_replicas_share_the_requests(ingest: Bus, system: Any) -> None:
    counts = [0, 0]
    for replica in range(2):

        async def handler(_: str, request: SearchRequest, replica: int = replica) -> SearchReply:
            counts[replica] += 1
            return SearchReply()

        bus = await system.connect(Service.MATCH)
        await bus.serve(SEARCH, SearchRequest, handler, name="search")
    await asyncio.gather(*(_ask(ingest) for _ in range(40)))
    assert sum(counts) == 40
    assert min(counts) > 0


async def test_a_rejection_reaches_the_caller_with_its_reason(ingest: Bus, match: Bus) -> None:
    async def handler(_: str, request: SearchRequest) -> SearchReply:
        raise Rejected(Reason.MODEL_MISMATCH, "another model made this template")

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    with pytest.raises(Rejected, match="another model") as caught:
        await _ask(ingest)
    assert caught.value.reason is Reason.MODEL_MISMATCH


async def test_a_retryable_reaches_the_caller(ingest: Bus, match: Bus) -> None:
    async def handler(_: str, request: SearchRequest) -> SearchReply:
        raise Retryable("the list is being loaded")

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    with pytest.raises(Retryable, match="being loaded"):
        await _ask(ingest)


async def test_a_defect_is_opaque_and_the_service_lives(ingest: Bus, match: Bus) -> None:
    async def handler(_: str, request: SearchRequest) -> SearchReply:
        if request.camera == "bad":
            raise ValueError("Jane Doe, born 1980")
        return SearchReply(entry_id="fine")

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    with pytest.raises(Retryable) as caught:
        await _ask(ingest, "bad")
    assert "Jane" not in str(caught.value)
    assert (await _ask(ingest)).entry_id == "fine"


async def test_a_request_that_does_not_parse_is_rejected(ingest: Bus, match: Bus) -> None:
    await match.serve(SEARCH, SearchRequest, _echo, name="search")
    with pytest.raises(Rejected) as caught:
        # Field 1 of a status is a string as in a request, but field 3 is a number where a request has a string.
        await ingest.request(
            SEARCH.of("dep-1"), CameraStatus(deployment="\x00", sight=1, reason="x"), SearchReply, timeout=SECOND
        )
    assert caught.value.reason is Reason.BAD_MESSAGE


async def test_nobody_there_is_told_quickly(ingest: Bus) -> None:
    began = time.monotonic()
    with pytest.raises(Retryable, match="nobody"):
        await _ask(ingest, timeout=timedelta(seconds=5))
    assert time.monotonic() - began < 0.5


async def test_no_answer_in_time_is_retryable(ingest: Bus, match: Bus) -> None:
    async def handler(_: str, request: SearchRequest) -> SearchReply:
        await asyncio.sleep(0.5)
        return SearchReply()

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    with pytest.raises(Retryable, match="no answer"):
        await _ask(ingest, timeout=timedelta(milliseconds=50))


async def test_closing_a_server_finishes_what_was_asked(ingest: Bus, match: Bus, until: Until) -> None:
    at_work = 0

    async def handler(_: str, request: SearchRequest) -> SearchReply:
        nonlocal at_work
        at_work += 1
        await asyncio.sleep(0.1)
        return SearchReply(entry_id="done")

    server = await match.serve(SEARCH, SearchRequest, handler, name="search")
    asking = [asyncio.create_task(_ask(ingest)) for _ in range(3)]
    await until(lambda: at_work == 3)
    await server.close()
    assert [(await a).entry_id for a in asking] == ["done"] * 3
    with pytest.raises(Retryable, match="nobody"):
        await _ask(ingest)


async def test_drain_cuts_off_what_takes_too_long(system: Any, ingest: Bus, until: Until) -> None:
    match = await system.connect(Service.MATCH, drain_time=timedelta(milliseconds=100))
    at_work = asyncio.Event()

    async def handler(_: str, request: SearchRequest) -> SearchReply:
        at_work.set()
        await asyncio.sleep(60)
        return SearchReply()

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    asking = asyncio.create_task(_ask(ingest, timeout=timedelta(seconds=10)))
    await at_work.wait()
    began = time.monotonic()
    await match.drain()
    assert time.monotonic() - began < 2
    with pytest.raises(Retryable, match="stopping"):
        await asking


async def test_what_is_too_large_is_refused_before_it_is_sent(ingest: Bus, match: Bus, gateway: Bus) -> None:
    large = bytes(MAX_MESSAGE_BYTES + 1)
    with pytest.raises(Rejected) as caught:
        await ingest.publish(PREVIEW.of("dep-1", "cam"), large)
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE

    async def handler(_: str, request: SearchRequest) -> SearchReply:
        return SearchReply(sealed_entry_card=large)

    await match.serve(SEARCH, SearchRequest, handler, name="search")
    with pytest.raises(Rejected) as caught:
        await _ask(ingest)
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE
    assert ingest.connected
    assert match.connected


async def test_the_largest_message_goes_through(ingest: Bus, gateway: Bus, until: Until) -> None:
    sizes: list[int] = []

    async def handler(_: str, jpeg: bytes) -> None:
        sizes.append(len(jpeg))

    await gateway.subscribe(PREVIEW.every, bytes, handler)
    await ingest.publish(PREVIEW.of("dep-1", "cam"), bytes(MAX_MESSAGE_BYTES))
    await until(lambda: sizes == [MAX_MESSAGE_BYTES])
    assert ingest.connected


@pytest.mark.parametrize(
    "subject", ["", "overt.status.>", "overt.status.*.x", "overt status", "overt..x", "a\r\nPUB b"]
)
async def test_a_bad_subject_is_rejected(ingest: Bus, subject: str) -> None:
    with pytest.raises(Rejected) as caught:
        await ingest.publish(subject, b"")
    assert caught.value.reason is Reason.BAD_FIELD


async def test_trace_context_goes_along(ingest: Bus, match: Bus, gateway: Bus, until: Until) -> None:
    async def listen(_: str, status: CameraStatus) -> None:
        heard.set()

    heard = asyncio.Event()
    await match.serve(SEARCH, SearchRequest, _echo, name="search")
    await gateway.subscribe(STATUS.every, CameraStatus, listen)
    with recorded_telemetry() as recorded:
        with span(SpanName.FRAME) as frame:
            await _ask(ingest)
            await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus())
            await heard.wait()
            trace = frame.traceparent.split("-")[1]
        await until(lambda: len(recorded.spans) >= 3)
        by_name = {s.name: s for s in recorded.spans}
    for name in ("bus.serve", "bus.receive"):
        assert f"{by_name[name].context.trace_id:032x}" == trace
        assert by_name[name].parent is not None


async def test_a_closed_bus_is_retryable(ingest: Bus) -> None:
    await ingest.close()
    assert not ingest.connected
    with pytest.raises(Retryable):
        await ingest.publish(STATUS.of("dep-1", "cam"), CameraStatus())
    await ingest.drain()
    await ingest.close()
