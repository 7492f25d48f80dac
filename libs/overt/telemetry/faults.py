"""What may be told of an exception: its type and where it happened. Never a foreign message, never locals."""

from __future__ import annotations

from pathlib import Path
from types import FrameType, TracebackType

from overt.errors import OvertError, Rejected
from overt.telemetry.fields import Value, plain


def described(error: BaseException) -> dict[str, Value]:
    """Fields of a log line for `error`. The message is told of our own errors only: those hold nothing personal."""
    leaf = _first_leaf(error)
    told: dict[str, Value] = {"error": kind_of(error)}
    where = _place(leaf.__traceback__)
    if where:
        told["error_at"] = where
    if isinstance(leaf, Rejected):
        told["reason"] = str(leaf.reason)
    if isinstance(leaf, OvertError):
        told["error_message"] = plain(str(leaf))
    return told


def kind_of(error: BaseException) -> str:
    """The type's name; of a group, its members' as well."""
    if isinstance(error, BaseExceptionGroup):
        members = "+".join(sorted({kind_of(member) for member in error.exceptions}))
        return f"{type(error).__name__}({members})"
    return type(error).__name__


def file_and_line(module: str, filename: str, line: int) -> str:
    """`overt/bus/nats.py:12`: the file below its top-level package, so that no build path is told."""
    parts = Path(filename).parts
    depth = module.count(".") + (2 if Path(filename).stem == "__init__" else 1)
    return f"{'/'.join(parts[-depth:])}:{line}"


def is_ours(module: str) -> bool:
    """Whether a module belongs to Overt."""
    top = module.partition(".")[0]
    return top == "overt" or top.startswith("overt_")


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _place(traceback: TracebackType | None) -> str:
    """File and line of the last of our own frames; without one, of the last frame."""
    last: tuple[FrameType, int] | None = None
    ours: tuple[FrameType, int] | None = None
    while traceback is not None:
        last = (traceback.tb_frame, traceback.tb_lineno)
        if is_ours(_module(traceback.tb_frame)):
            ours = last
        traceback = traceback.tb_next
    found = ours or last
    if found is None:
        return ""
    frame, line = found
    return file_and_line(_module(frame), frame.f_code.co_filename, line)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
