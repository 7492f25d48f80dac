"""Structured logs: an event's name and classified fields, one JSON object a line."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

from overt.telemetry.faults import described
from overt.telemetry.fields import Value, admitted, refuse, strict

EVENT_ATTRIBUTE: Final = "overt_fields"
"""Marks a LogRecord as ours; holds its admitted fields."""

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Threshold:
    """The lowest level of our own events that is written. One for the process, set by `configure`."""

    level: int = logging.INFO


class Logger:
    """Get one with `get_logger(__name__)`. Thread-safe, never blocks on anything but stderr.

    `event` is a constant like "camera_opened"; what varies goes into fields, each named in
    `overt.telemetry.fields.FIELDS`. `error` takes an exception: its type and place are logged, its message only
    if it is one of `overt.errors`.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        if not self._logger.handlers:
            # Without this, Python prints warnings itself as long as nothing is configured.
            self._logger.addHandler(logging.NullHandler())

    def debug(self, event: str, *, error: BaseException | str | None = None, **fields: object) -> None:
        self._write(logging.DEBUG, event, error, fields)

    def info(self, event: str, *, error: BaseException | str | None = None, **fields: object) -> None:
        self._write(logging.INFO, event, error, fields)

    def warning(self, event: str, *, error: BaseException | str | None = None, **fields: object) -> None:
        self._write(logging.WARNING, event, error, fields)

    def error(self, event: str, *, error: BaseException | str | None = None, **fields: object) -> None:
        self._write(logging.ERROR, event, error, fields)

    def exception(self, event: str, **fields: object) -> None:
        """`error` with the exception that is being handled."""
        self._write(logging.ERROR, event, sys.exc_info()[1], fields)

    def _write(self, level: int, event: str, error: BaseException | str | None, fields: dict[str, object]) -> None:
        if level < Threshold.level and not strict():
            return
        if not _EVENT.fullmatch(event):
            refuse("log_event", "an event's name is a constant of lower-case letters, digits and underscores")
            event = "unnamed_event"
        kept: dict[str, Value] = admitted("log_field", fields)
        if isinstance(error, BaseException):
            kept = described(error) | kept
        elif error is not None:
            kept |= admitted("log_field", {"error": error})
        if level < Threshold.level:
            return
        logger = self._logger
        record = logger.makeRecord(logger.name, level, "", 0, event, (), None, extra={EVENT_ATTRIBUTE: kept})
        # Not `logger.log`: the level of our events is our own, the standard one guards other libraries'.
        logger.handle(record)


def get_logger(name: str) -> Logger:
    """The logger of a module; call it at import with `__name__`. Silent until `configure`."""
    return Logger(name)
