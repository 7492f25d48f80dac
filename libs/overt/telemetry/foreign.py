"""What is kept of other libraries' log records: who, where, and the constant part of the message.

A record's arguments may be anybody's data, so they are dropped. A message without arguments may still have been
put together from data (an f-string), so it is kept only if it stands as a constant in the calling code.
"""

from __future__ import annotations

import logging
import sys
from types import FrameType

from overt.telemetry.faults import described, file_and_line
from overt.telemetry.fields import Value, plain

LOWEST_LEVEL = logging.WARNING


def fields_of(record: logging.LogRecord) -> dict[str, Value]:
    """The fields of a foreign record. Call it in the thread and call stack that logged."""
    told: dict[str, Value] = {
        "library": plain(record.name),
        "at_line": file_and_line(record.module, record.pathname, record.lineno),
    }
    if isinstance(record.msg, str) and _is_constant(record.msg, record):
        told["wording"] = plain(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        told |= described(record.exc_info[1])
    return told


def _is_constant(message: str, record: logging.LogRecord) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename == record.pathname and code.co_name == record.funcName:
            return any(type(constant) is str and constant == message for constant in code.co_consts)
        frame = frame.f_back
    return False


def capture() -> None:
    """Takes away the handlers that libraries gave their own loggers, so that all records reach the root's.

    Ours alone stay: null handlers, and the root's. Libraries may add theirs late (uvicorn does, as it starts),
    so this is called again after a service has started.
    """
    for logger in list(logging.root.manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):
            continue
        for handler in list(logger.handlers):
            if not isinstance(handler, logging.NullHandler):
                logger.removeHandler(handler)
        logger.propagate = True
