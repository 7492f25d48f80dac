"""What surrounds every handler: who may call, the span, and what becomes of an error.

One interceptor rather than three, because the order matters: the span is around the refusal too, and the status
is sent after the span has seen the error.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from overt.auth import Claims, TokenVerifier, bearer
from overt.errors import Fatal, Rejected, Retryable
from overt.permissions import PUBLIC, RPCS
from overt.reasons import Reason
from overt.rpc import calling
from overt.rpc.errors import MAX_DETAILS_CHARACTERS, REASON_KEY, status_of
from overt.runtime.ending import end_service
from overt.telemetry import Metric, SpanName, get_logger, observe, span

log = get_logger(__name__)

# In quotes: they are generic in their types only.
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Behaviour: TypeAlias = "Callable[[Any, _Context], Any]"


class Guard(grpc.aio.ServerInterceptor):
    """Handlers may be coroutines or, where they stream replies, async generators. They raise overt.errors."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        method = handler_call_details.method
        metadata = handler_call_details.invocation_metadata
        serve = _serving_stream if handler.response_streaming else _serving_unary
        behaviour = serve(handler)

        async def guarded(request: Any, context: _Context) -> Any:
            return await self._call(method, metadata, context, lambda: behaviour(request, context))

        # A message of a request stream is parsed where the handler asks for it, any other in `behaviour`: both
        # inside the guard, so that what does not parse is refused like everything else.
        parse = _parsing(handler.request_deserializer) if handler.request_streaming else None
        return _HANDLER_OF[handler.request_streaming, handler.response_streaming](
            guarded, parse, handler.response_serializer if handler.response_streaming else None
        )

    async def _call(self, method: str, metadata: Any, context: _Context, handle: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        status = "CANCELLED"
        try:
            with span(SpanName.RPC_SERVE, parent=_traceparent(metadata), method=method):
                calling.current.set(self._authorise(method, metadata))
                reply = await handle()
            status = "OK"
            return reply
        except grpc.aio.AbortError:
            status = "ABORTED"
            raise  # the handler has said with what
        # The outermost frame of a call: whatever a handler raises ends here, as a status that tells no more than
        # it may. A cancelled call passes through, as it should.
        except Exception as error:  # noqa: BLE001
            code, details, reason = _answer(_leaf(error), method)
            status = code.name
            trailing = ((REASON_KEY, reason.value),) if reason else ()
        finally:
            observe(Metric.RPC_SERVED, (time.perf_counter() - began) * 1e3, method=method, status=status)
        return await context.abort(code, details[:MAX_DETAILS_CHARACTERS], trailing)

    def _authorise(self, method: str, metadata: Any) -> Claims | None:
        """The caller; None where nobody is asked. Rejected."""
        allowed = RPCS.get(method)
        if allowed is None:
            raise Rejected(Reason.NOT_ALLOWED, "nobody may call this: it is not in the table of permissions")
        if allowed == PUBLIC:
            return None
        headers = [value for key, value in metadata or () if key == "authorization"]
        if len(headers) > 1:
            raise Rejected(Reason.TOKEN_INVALID, "send one token")
        claims = self._verifier.verify(bearer(headers[0] if headers else None))
        if claims.role not in allowed:
            raise Rejected(Reason.NOT_ALLOWED, f"{claims.role} may not call this")
        return claims


def _serving_unary(handler: _Handler) -> Callable[[Any, _Context], Awaitable[Any]]:
    """Parses and serialises here, where an error of either is caught."""
    behaviour: _Behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary  # type: ignore[assignment]  # set for this kind

    async def serve(request: Any, context: _Context) -> Any:
        if not handler.request_streaming:
            request = _parsing(handler.request_deserializer)(request)
        reply = await behaviour(request, context)
        return handler.response_serializer(reply) if handler.response_serializer else reply

    return serve


def _serving_stream(handler: _Handler) -> Callable[[Any, _Context], Awaitable[None]]:
    """Drives a generator from a coroutine, so that it is closed, in its own context, however the call ends."""
    behaviour: _Behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream  # type: ignore[assignment]  # set for this kind

    async def serve(request: Any, context: _Context) -> None:
        if not handler.request_streaming:
            request = _parsing(handler.request_deserializer)(request)
        replies = behaviour(request, context)
        if inspect.isawaitable(replies):
            await replies  # it calls context.write itself
            return
        async with contextlib.aclosing(_generator(replies)) as generator:
            async for reply in generator:
                await context.write(reply)

    return serve


def _generator(replies: AsyncIterator[Any]) -> Any:
    """An async iterator that can be closed."""
    if hasattr(replies, "aclose"):
        return replies

    async def iterate() -> AsyncIterator[Any]:
        async for reply in replies:
            yield reply

    return iterate()


def _parsing(deserialise: Callable[[bytes], Any] | None) -> Callable[[Any], Any]:
    def parse(data: Any) -> Any:
        try:
            return deserialise(data) if deserialise else data
        except DecodeError:
            raise Rejected(Reason.BAD_MESSAGE, "the message does not parse") from None

    return parse


def _answer(error: Exception, method: str) -> tuple[grpc.StatusCode, str, Reason | None]:
    if isinstance(error, Rejected):
        return status_of(error), str(error), error.reason
    if isinstance(error, Retryable):
        return grpc.StatusCode.UNAVAILABLE, str(error), None
    if isinstance(error, NotImplementedError):
        return grpc.StatusCode.UNIMPLEMENTED, "not implemented", None
    if isinstance(error, grpc.aio.InternalError):
        # A reply that found nobody. The handler's cancellation comes a moment later, or not at all.
        return grpc.StatusCode.CANCELLED, "the caller has gone", None
    log.error("rpc_failed", method=method, error=error)
    if isinstance(error, Fatal):
        # Told like any defect, but the next call would meet it too.
        end_service(error)
    return grpc.StatusCode.INTERNAL, "internal error", None


def _leaf(error: Exception) -> Exception:
    """What a task group wraps, when it wraps one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _traceparent(metadata: Any) -> str:
    """The caller's, or "": a call is never a child of whatever happens to run here."""
    return next((value for key, value in metadata or () if key == "traceparent" and isinstance(value, str)), "")


_HANDLER_OF: dict[tuple[bool, bool], Callable[..., _Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
