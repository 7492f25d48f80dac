"""What crosses the wire: payloads, their size limit, trace context and the error headers of a reply.

The error headers are those of NATS micro-services (`Nats-Service-Error-Code`, `Nats-Service-Error`), the code
being one of three words; the reason of a rejection travels in a header of our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from google.protobuf.message import DecodeError, Message

from overt.bus.port import P, Payload
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.subjects import MAX_MESSAGE_BYTES
from overt.telemetry import current_traceparent

HEADER_ROOM = 4096
"""Headers count against the server's max_payload: it is this much larger than MAX_MESSAGE_BYTES."""

API = "STORE."
"""JetStream's API as a service's account imports it (see overt.bus.access): `$JS.API.` of the store."""

TRACEPARENT = "traceparent"
_ERROR_CODE = "Nats-Service-Error-Code"
_ERROR_TEXT = "Nats-Service-Error"
_REASON = "Overt-Reason"
_REJECTED, _RETRYABLE = "rejected", "retryable"

_SUBJECT = re.compile(r"[$A-Za-z0-9_=-]+(?:\.[$A-Za-z0-9_=-]+)*")
_KEY = re.compile(r"[A-Za-z0-9_=-]+(?:[./][A-Za-z0-9_=-]+)*")


def encoded(payload: Payload) -> bytes:
    """Rejected(MESSAGE_TOO_LARGE) before anything is sent: the server would drop the whole connection."""
    data = payload if isinstance(payload, bytes) else payload.SerializeToString()
    if len(data) > MAX_MESSAGE_BYTES:
        raise Rejected(
            Reason.MESSAGE_TOO_LARGE,
            f"a message on the bus is at most {MAX_MESSAGE_BYTES} bytes; this one has {len(data)}",
        )
    return data


def decoded(data: bytes, message_type: type[P]) -> P:
    """Rejected(BAD_MESSAGE) if it does not parse."""
    if not issubclass(message_type, Message):
        return cast(P, data)
    try:
        return cast(P, message_type.FromString(data))
    except DecodeError:
        raise Rejected(Reason.BAD_MESSAGE, f"this is not a {message_type.DESCRIPTOR.full_name}") from None


def checked_key(key: str) -> str:
    """A key or object name that is fit to be part of a subject; else Rejected(BAD_FIELD)."""
    if len(key) > 255 or not _KEY.fullmatch(key):
        raise Rejected(Reason.BAD_FIELD, "a key is 1 to 255 letters, digits and any of -_= with . or / between")
    return key


def checked_subject(subject: str) -> str:
    """A subject to publish to: no wildcards, no empty token; else Rejected(BAD_FIELD)."""
    if not _SUBJECT.fullmatch(subject):
        raise Rejected(Reason.BAD_FIELD, "a subject is words of letters, digits and any of -_=$ with dots between")
    return subject


def checked_pattern(pattern: str) -> str:
    """A subject to listen to: like checked_subject, with `*` for a word and `>` for all that follow."""
    words = pattern.removesuffix(".>").split(".")
    if pattern != ">" and not all(word == "*" or _SUBJECT.fullmatch(word) for word in words):
        raise Rejected(Reason.BAD_FIELD, "a pattern is a subject in which a word may be * and the last one >")
    return pattern


def what_of(subject: str) -> str:
    """A subject's first words: they name a kind of message, or of call, never a deployment or a person."""
    words = subject.split(".")
    return ".".join(words[: 3 if words[0] == "STORE" else 2])


def trace_headers() -> dict[str, str]:
    """Headers that carry the current trace context."""
    here = current_traceparent()
    return {TRACEPARENT: here} if here else {}


def traceparent_of(headers: Mapping[str, str] | None) -> str:
    return (headers or {}).get(TRACEPARENT, "")


def error_headers(error: Exception) -> dict[str, str]:
    """How a handler's failure is told to the caller. A defect is told without its message."""
    if isinstance(error, Rejected):
        return {_ERROR_CODE: _REJECTED, _ERROR_TEXT: str(error), _REASON: error.reason.value}
    if isinstance(error, Retryable):
        return {_ERROR_CODE: _RETRYABLE, _ERROR_TEXT: str(error)}
    return {_ERROR_CODE: _RETRYABLE, _ERROR_TEXT: "the peer failed on this request"}


def raise_error_of(headers: Mapping[str, str] | None) -> None:
    """The other end of error_headers."""
    code = (headers or {}).get(_ERROR_CODE)
    if headers is None or code is None:
        return
    text = headers.get(_ERROR_TEXT, "the peer gave no reason")
    if code == _REJECTED:
        try:
            reason = Reason(headers.get(_REASON, ""))
        except ValueError:  # A newer peer's code.
            reason = Reason.BAD_MESSAGE
        raise Rejected(reason, text)
    raise Retryable(text)
