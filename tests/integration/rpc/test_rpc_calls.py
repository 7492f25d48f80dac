"""Every kind of call, however its handler is written: replies, errors, cancellation, who called, the trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from overt.errors import Fatal, Rejected, Retryable
from overt.permissions import PUBLIC, Role
from overt.reasons import Reason
from overt.rpc import caller, connect, to_overt_error
from overt.rpc.errors import is_lost
from overt.telemetry import Metric, SpanName, current_traceparent, span
from overt.testing.rpc import Tokens
from overt.testing.telemetry import recorded_telemetry
from support.waiting import until

pytestmark = pytest.mark.integration

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
SECRET = "born on a Tuesday"


async def texts_of(kind: str, request: Any) -> list[str]:
    return [request.value] if kind.startswith("unary") else [message.value async for message in request]


def handler_of(kind: str, do: Callable[[list[str]], str], *, writes: bool = False) -> Any:
    """A handler that replies once, or three times where it streams, with what `do` makes of the requests."""

    async def once(request: Any, context: Any) -> StringValue:
        return StringValue(value=do(await texts_of(kind, request)))

    async def generate(request: Any, context: Any) -> AsyncIterator[StringValue]:
        text = do(await texts_of(kind, request))
        for n in range(3):
            yield StringValue(value=f"{text}{n}")

    async def write(request: Any, context: Any) -> None:
        text = do(await texts_of(kind, request))
        for n in range(3):
            await context.write(StringValue(value=f"{text}{n}"))

    if kind.endswith("unary"):
        return once
    return write if writes else generate


def raising(error: BaseException) -> Callable[[list[str]], str]:
    def do(texts: list[str]) -> str:
        raise error

    return do


async def failure(method: Any, *texts: str, **more: Any) -> grpc.aio.AioRpcError:
    """What the peer said; asked again where grpc.aio lost it (overt.rpc.errors.is_lost)."""
    while True:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method.ask(*texts or ("x",), **more)
        assert SECRET not in str(caught.value)
        if not is_lost(caught.value):
            return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("writes", [False, True])
async def test_replies(serve_one: Any, kind: str, writes: bool) -> None:
    requests = ["a"] if kind.startswith("unary") else ["a", "b", "c"]
    replies = ["".join(requests)] if kind.endswith("unary") else [f"{''.join(requests)}{n}" for n in range(3)]
    async with serve_one(kind, handler_of(kind, "".join, writes=writes)) as method:
        assert await method.ask(*requests) == replies


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "code", "details", "meant"),
    [
        (Rejected(Reason.CLOCK, "the clock is off"), grpc.StatusCode.INVALID_ARGUMENT, "the clock is off", "clock"),
        (Rejected(Reason.UNKNOWN_ALERT, "gone"), grpc.StatusCode.NOT_FOUND, "gone", "unknown_alert"),
        (Rejected(Reason.CAMERA_BUSY, "busy"), grpc.StatusCode.FAILED_PRECONDITION, "busy", "camera_busy"),
        (Retryable("come back"), grpc.StatusCode.UNAVAILABLE, "come back", "retry"),
        (Fatal(SECRET), grpc.StatusCode.INTERNAL, "internal error", "internal"),
        (RuntimeError(SECRET), grpc.StatusCode.INTERNAL, "internal error", "internal"),
        (KeyError(SECRET), grpc.StatusCode.INTERNAL, "internal error", "internal"),
        (TimeoutError(), grpc.StatusCode.INTERNAL, "internal error", "internal"),
        (NotImplementedError(SECRET), grpc.StatusCode.UNIMPLEMENTED, "not implemented", "internal"),
        (
            ExceptionGroup("tasks", [ExceptionGroup("tasks", [Rejected(Reason.EXPIRED, "late")])]),
            grpc.StatusCode.FAILED_PRECONDITION,
            "late",
            "expired",
        ),
        (
            ExceptionGroup(SECRET, [ValueError(), Retryable(SECRET)]),
            grpc.StatusCode.INTERNAL,
            "internal error",
            "internal",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_errors(
    serve_one: Any, kind: str, error: Exception, code: grpc.StatusCode, details: str, meant: str
) -> None:
    async with serve_one(kind, handler_of(kind, raising(error))) as method:
        failed = await failure(method)
        assert (failed.code(), failed.details()) == (code, details)
        understood = to_overt_error(failed)
        if meant == "retry":
            assert isinstance(understood, Retryable)
        else:
            assert isinstance(understood, Rejected)
            assert understood.reason == meant
        # The server lives, and the next call fails in the same way.
        assert (await failure(method)).code() is code


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
@pytest.mark.parametrize("writes", [False, True])
async def test_an_error_between_replies_ends_the_stream_after_them(serve_one: Any, kind: str, writes: bool) -> None:
    async def generate(request: Any, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="1")
        yield StringValue(value="2")
        raise Rejected(Reason.CAMERA_CLOSED, "the window has ended")

    async def write(request: Any, context: Any) -> None:
        async for reply in generate(request, context):
            await context.write(reply)

    async with serve_one(kind, write if writes else generate) as method:
        request = StringValue(value="x")
        call = method.call()(request if kind == "unary_stream" else iter([request]))
        replies = []

        async def read() -> None:
            async for reply in call:
                replies.append(reply.value)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read()
        assert replies == ["1", "2"]
        assert to_overt_error(caught.value).args == ("the window has ended",)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("kind", KINDS)
async def test_what_does_not_parse(serve_one: Any, kind: str) -> None:
    async with serve_one(kind, handler_of(kind, "".join)) as method:
        rubbish = b"\xff\xff\xff\xff"
        call = method.raw()(rubbish if kind.startswith("unary") else iter([rubbish]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call if kind.endswith("unary") else call.read())
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        understood = to_overt_error(caught.value)
        assert isinstance(understood, Rejected)
        assert understood.reason is Reason.BAD_MESSAGE
        assert await method.ask("a")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reply_that_is_no_message(serve_one: Any, kind: str) -> None:
    async def once(request: Any, context: Any) -> Any:
        return {"subject": SECRET}

    async def generate(request: Any, context: Any) -> AsyncIterator[Any]:
        yield {"subject": SECRET}

    async with serve_one(kind, once if kind.endswith("unary") else generate) as method:
        failed = await failure(method)
        assert (failed.code(), failed.details()) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_fatal_ends_the_service(serve_one: Any) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context.get("exception")))
    fatal = Fatal("the keyring cannot be used: restart")
    async with serve_one("unary_unary", handler_of("unary_unary", raising(fatal))) as method:
        assert (await failure(method)).code() is grpc.StatusCode.INTERNAL
    assert fatal in told


async def test_a_handler_may_abort_by_itself(serve_one: Any) -> None:
    async def handler(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "as the handler says")

    async with serve_one("unary_unary", handler) as method:
        failed = await failure(method)
        assert (failed.code(), failed.details()) == (grpc.StatusCode.OUT_OF_RANGE, "as the handler says")


async def test_an_error_is_logged_by_its_type_only(serve_one: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serve_one("unary_unary", handler_of("unary_unary", raising(RuntimeError(SECRET)))) as method:
        await failure(method)
        await until(lambda: bool(caplog.records))
    ours = [record for record in caplog.records if record.name == "overt.rpc.guard"]
    assert [record.getMessage() for record in ours] == ["rpc_failed"]
    fields = ours[0].overt_fields  # type: ignore[attr-defined]
    assert fields["error"] == "RuntimeError"
    assert fields["method"] == "/overt.test.v1.Test/Call"
    # And nobody else tells more: gRPC logs tracebacks of what it sees.
    assert all(SECRET not in str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_stream"])
@pytest.mark.parametrize("how", ["client cancels", "deadline"])
async def test_a_call_that_is_given_up_ends_its_handler(
    serve_one: Any, kind: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def forever(request: Any, context: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def generate(request: Any, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value="1")
        await forever(request, context)

    async with serve_one(kind, forever if kind.endswith("unary") else generate) as method:
        request = StringValue(value="x")
        call = method.call()(
            iter([request]) if kind.startswith("stream") else request, timeout=0.3 if how == "deadline" else 60
        )
        async with asyncio.timeout(10):
            await began.wait()
            if how == "client cancels":
                call.cancel()
            await ended.wait()
    assert caplog.records == []


async def test_a_generator_is_closed_in_its_own_task(serve_one: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Its `finally` runs at once, and not when the garbage is collected; even while nobody asks it for more."""
    tasks: list[asyncio.Task[Any] | None] = []

    async def generate(request: Any, context: Any) -> AsyncIterator[StringValue]:
        tasks.append(asyncio.current_task())
        try:
            while True:
                yield StringValue(value="x" * 100_000)
        finally:
            tasks.append(asyncio.current_task())

    async with serve_one("unary_stream", generate) as method:
        call = method.call()(StringValue(value="x"))
        assert (await call.read()).value
        await asyncio.sleep(0.1)  # the flow control's window fills, the handler waits in a write
        call.cancel()
        await until(lambda: len(tasks) == 2)
    assert tasks[0] is tasks[1]
    assert caplog.records == []


# ---- who may call


@pytest.mark.parametrize("kind", KINDS)
async def test_who_may_not_call(serve_one: Any, kind: str) -> None:
    handled: list[str] = []

    def do(texts: list[str]) -> str:
        handled.extend(texts)
        return "x"

    def refused(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
        understood = to_overt_error(error)
        assert isinstance(understood, Rejected)
        return error.code(), understood.reason

    async with serve_one(kind, handler_of(kind, do)) as method:
        ours = method.served.tokens.of(Role.SERVICE_INGEST)
        unauthenticated = grpc.StatusCode.UNAUTHENTICATED
        assert refused(await failure(method, role=None)) == (unauthenticated, Reason.TOKEN_MISSING)
        denied = (grpc.StatusCode.PERMISSION_DENIED, Reason.NOT_ALLOWED)
        assert refused(await failure(method, role=Role.SERVICE_GATEWAY)) == denied
        assert refused(await failure(method, role=Role.ADMINISTRATOR)) == denied
        for header, reason in (
            ("Bearer rubbish", Reason.TOKEN_INVALID),
            (f"Bearer {Tokens().of(Role.SERVICE_INGEST)}", Reason.TOKEN_INVALID),
            (f"Bearer {ours[:-6]}AAAAAA", Reason.TOKEN_INVALID),
            (f"Basic {ours}", Reason.TOKEN_MISSING),
            (ours, Reason.TOKEN_MISSING),
        ):
            failed = await failure(method, role=None, metadata=[("authorization", header)])
            assert refused(failed) == (unauthenticated, reason)
            assert ours[-12:] not in str(failed)
        twice = [("authorization", f"Bearer {ours}")] * 2
        assert refused(await failure(method, role=None, metadata=twice)) == (unauthenticated, Reason.TOKEN_INVALID)
        assert handled == []
        assert await method.ask("x", role=None, metadata=[("authorization", f"Bearer {ours}")])


async def test_a_method_that_is_not_in_the_table_is_nobodys(serve_one: Any) -> None:
    async with serve_one("unary_unary", handler_of("unary_unary", "".join), roles=None) as method:
        failed = await failure(method)
        assert failed.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_method_that_does_not_exist(serve_one: Any) -> None:
    async with serve_one("unary_unary", handler_of("unary_unary", "".join)) as method:
        call = method.served.channel(Role.SERVICE_INGEST).unary_unary("/overt.test.v1.Test/Other")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_public_method_asks_nobody(serve_one: Any) -> None:
    def do(texts: list[str]) -> str:
        with pytest.raises(Rejected):
            caller()
        return "open"

    async with serve_one("unary_unary", handler_of("unary_unary", do), roles=PUBLIC) as method:
        assert await method.ask("x", role=None) == ["open"]
        assert await method.ask("x", role=None, metadata=[("authorization", "Bearer rubbish")]) == ["open"]


async def test_each_handler_sees_its_own_caller(serve_one: Any) -> None:
    """Also after it has waited, in a task of its own, and while others are being served."""
    meeting = asyncio.Barrier(2)

    async def handler(request: Any, context: Any) -> StringValue:
        await meeting.wait()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_who())
        return StringValue(value=task.result())

    async def _who() -> str:
        await asyncio.sleep(0)
        return f"{caller().role} {caller().camera}"

    roles = frozenset({Role.CAMERA, Role.SERVICE_INGEST})
    async with serve_one("unary_unary", handler, roles=roles) as method:
        camera = method.served.channel(Role.CAMERA, deployment="dep", camera="north")
        replies = await asyncio.gather(method.ask("x"), method.call(channel=camera)(StringValue(value="x")))
    assert replies[0] == ["service:ingest None"]
    assert replies[1].value == "camera north"


def test_outside_of_a_call_there_is_no_caller() -> None:
    with pytest.raises(Rejected) as caught:
        caller()
    assert caught.value.reason is Reason.TOKEN_MISSING


async def test_the_token_is_taken_anew_for_every_call(serve_one: Any) -> None:
    async with serve_one("unary_unary", handler_of("unary_unary", "".join)) as method:
        tokens = iter([method.served.tokens.of(Role.SERVICE_INGEST), method.served.tokens.of(Role.SERVICE_GATEWAY)])
        channel = connect(method.served.address, token=lambda: next(tokens))
        async with channel:
            call = method.call(channel=channel)
            assert (await call(StringValue(value="a"))).value == "a"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(StringValue(value="a"))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


# ---- deadlines, traces, metrics


async def test_only_unary_calls_have_a_deadline_of_their_own(serve_one: Any) -> None:
    async def remaining(request: Any, context: Any) -> StringValue:
        return StringValue(value=f"{context.time_remaining()}")

    async def generate(request: Any, context: Any) -> AsyncIterator[StringValue]:
        yield StringValue(value=f"{context.time_remaining()}")

    async with serve_one("unary_unary", remaining) as method:
        assert 5 < float((await method.ask("x"))[0]) < 15
        assert 30 < float((await method.ask("x", timeout=60))[0]) < 65
    async with serve_one("unary_stream", generate) as method:
        assert await method.ask("x") == ["None"]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_trace_goes_on_at_the_server(serve_one: Any, kind: str) -> None:
    seen: list[str] = []

    def do(texts: list[str]) -> str:
        seen.append(current_traceparent())
        return "x"

    with recorded_telemetry() as telemetry:
        async with serve_one(kind, handler_of(kind, do)) as method:
            with span(SpanName.FRAME) as outer:
                await method.ask("x")
            await method.ask("x")
        served = [found for found in telemetry.spans if found.name == SpanName.RPC_SERVE]
    assert len(served) == 2
    first, second = served
    assert first.parent is not None
    assert f"{first.context.trace_id:032x}-{first.parent.span_id:016x}" in outer.traceparent
    assert f"{first.context.trace_id:032x}-{first.context.span_id:016x}" in seen[0]
    # Without a traceparent a new trace begins.
    assert second.parent is None
    assert second.context.trace_id != first.context.trace_id
    assert (first.attributes or {})["method"] == "/overt.test.v1.Test/Call"


async def test_calls_are_measured_by_how_they_ended(serve_one: Any) -> None:
    def do(texts: list[str]) -> str:
        if texts == ["bad"]:
            raise Rejected(Reason.CLOCK, "off")
        return "x"

    with recorded_telemetry() as telemetry:
        async with serve_one("unary_unary", handler_of("unary_unary", do)) as method:
            await method.ask("x")
            await failure(method, "bad")
            await failure(method, role=None)
        for status in ("OK", "INVALID_ARGUMENT", "UNAUTHENTICATED"):
            assert telemetry.value(Metric.RPC_SERVED, method="/overt.test.v1.Test/Call", status=status) == 1
        failed = [found.status.is_ok for found in telemetry.spans if found.name == SpanName.RPC_SERVE]
    assert failed == [True, False, False]
