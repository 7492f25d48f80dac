"""The one handler of the process's log: every record becomes one JSON line on stderr, or nothing."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from opentelemetry import trace

from overt.telemetry import foreign
from overt.telemetry.fields import Value, plain
from overt.telemetry.logs import EVENT_ATTRIBUTE


class JsonLines(logging.Handler):
    """Our events with their fields; other libraries' warnings without their data; nothing else."""

    def __init__(self, service: str, stream: TextIO | None = None) -> None:
        super().__init__(logging.NOTSET)
        self._service = service
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._line(record)
            if line is not None:
                stream = self._stream or sys.stderr
                stream.write(line)
                stream.flush()
        except Exception:  # noqa: BLE001 - a log line must never stop the work; Python's own way would show its data
            self._say_that_it_failed()

    def _line(self, record: logging.LogRecord) -> str | None:
        fields = getattr(record, EVENT_ATTRIBUTE, None)
        if fields is not None:
            event = str(record.msg)
        elif record.levelno >= foreign.LOWEST_LEVEL:
            event, fields = "library_log", foreign.fields_of(record)
        else:
            return None
        head: dict[str, Value] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": plain(record.name),
            "event": event,
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            head["trace"] = f"{context.trace_id:032x}"
            head["span"] = f"{context.span_id:016x}"
        # The head comes last so that no field can overwrite it, and first in the line for the reader.
        return json.dumps(head | fields | head, ensure_ascii=False, separators=(",", ":")) + "\n"

    def _say_that_it_failed(self) -> None:
        try:
            (self._stream or sys.stderr).write('{"level":"error","event":"log_line_failed"}\n')
        except Exception:  # noqa: BLE001, S110 - stderr is gone: there is nobody left to tell
            pass
