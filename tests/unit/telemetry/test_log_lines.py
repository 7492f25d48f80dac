"""Log lines: JSON, classified fields, and of exceptions and other libraries only what cannot hold personal data."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from overt import telemetry
from overt.errors import Fatal, Rejected, Retryable
from overt.reasons import Reason
from overt.runtime.life import _log_loop_error
from overt.settings import ServiceSettings
from overt.subjects import checked_id
from overt.telemetry import Unclassified, get_logger

pytestmark = pytest.mark.unit

NAME = "Ada Lovelace"

log = get_logger("overt.tests")


class Lines(io.StringIO):
    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.told[-1]


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    key = tmp_path / "issuer.pem"
    key.write_text("public")
    return ServiceSettings(issuer_public_key_file=key)


@pytest.fixture
def lines(settings: ServiceSettings) -> Iterator[Lines]:
    stream = Lines()
    telemetry.configure("toy", settings, stream=stream)
    yield stream
    telemetry.shutdown()


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_line_is_json_with_the_event_and_its_fields(lines: Lines) -> None:
    log.info("camera_opened", deployment="market-square", camera="north")
    assert lines.last == {
        "at": lines.last["at"],
        "level": "info",
        "service": "toy",
        "logger": "overt.tests",
        "event": "camera_opened",
        "deployment": "market-square",
        "camera": "north",
    }
    assert lines.last["at"].endswith("+00:00")


@pytest.mark.parametrize("key", ["service", "at", "error_message", "wording"])
def test_a_caller_cannot_set_what_telemetry_writes(lines: Lines, key: str) -> None:
    with pytest.raises(Unclassified):
        log.info("greeted", **{key: "another"})


def test_debug_is_silent_unless_asked_for(lines: Lines, settings: ServiceSettings) -> None:
    log.debug("looked")
    assert lines.told == []
    telemetry.configure("toy", settings.model_copy(update={"log_level": "debug"}), stream=lines)
    log.debug("looked")
    assert lines.last["level"] == "debug"


def test_nothing_is_written_before_configure_and_after_shutdown(
    settings: ServiceSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    log.error("too_early")
    telemetry.configure("toy", settings, stream=io.StringIO())
    telemetry.shutdown()
    telemetry.shutdown()
    log.error("too_late")
    assert capfd.readouterr() == ("", "")


def test_shutdown_gives_back_what_configure_took(settings: ServiceSettings) -> None:
    before = (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.root.level, logging.root.handlers[:])
    telemetry.configure("toy", settings, stream=io.StringIO())
    assert sys.excepthook is not before[0]
    telemetry.shutdown()
    after = (sys.excepthook, threading.excepthook, sys.unraisablehook, logging.root.level, logging.root.handlers[:])
    assert after[0] is sys.__excepthook__
    assert after[3:] == before[3:]


def test_a_foreign_exception_tells_its_type_and_our_last_line(lines: Lines) -> None:
    try:
        int(NAME)
    except ValueError:
        log.exception("parse_failed")
    assert lines.last["error"] == "ValueError"
    assert "test_log_lines.py:" in lines.last["error_at"]
    assert not lines.last["error_at"].startswith("/")
    assert NAME not in lines.getvalue()


def test_the_place_is_our_last_frame_not_the_librarys(lines: Lines) -> None:
    try:
        checked_id(None)  # type: ignore[arg-type]
    except TypeError as error:
        log.error("parse_failed", error=error)
    assert lines.last["error_at"].startswith("overt/subjects.py:")


def test_our_own_errors_tell_their_message_and_reason(lines: Lines) -> None:
    log.error("refused", error=raised(Rejected(Reason.CAMERA_BUSY, "one stream a camera")))
    assert lines.last["reason"] == "camera_busy"
    assert lines.last["error_message"] == "one stream a camera"
    log.error("refused", error=raised(Retryable("the bus is away")))
    assert lines.last["error"] == "Retryable"
    log.error("refused", error=raised(Fatal("x" * 1000)))
    assert len(lines.last["error_message"]) == 200


def test_causes_and_notes_are_not_told(lines: Lines) -> None:
    error = Retryable("away")
    error.__cause__ = ValueError(NAME)
    error.add_note(NAME)
    log.error("refused", error=raised(error))
    assert NAME not in lines.getvalue()


def test_a_group_tells_the_types_of_its_members(lines: Lines) -> None:
    log.error("broke", error=ExceptionGroup(NAME, [raised(ValueError(NAME)), raised(KeyError(NAME))]))
    assert lines.last["error"] == "ExceptionGroup(KeyError+ValueError)"
    assert "error_at" in lines.last
    assert NAME not in lines.getvalue()


def test_an_exceptions_text_cannot_be_passed_as_its_name(lines: Lines) -> None:
    with pytest.raises(Unclassified):
        log.error("parse_failed", error=f"invalid literal: {NAME}")
    log.error("parse_failed", error="ValueError")
    assert lines.last["error"] == "ValueError"


def test_the_trace_is_in_the_line(lines: Lines) -> None:
    from overt.telemetry import SpanName, span
    from overt.testing.telemetry import recorded_telemetry

    with recorded_telemetry(), span(SpanName.FRAME) as frame:
        log.info("seen")
    assert f"00-{lines.last['trace']}-{lines.last['span']}-" == frame.traceparent[:-2]


@pytest.mark.parametrize("library", ["grpc", "uvicorn.error", "nats.aio.client", "asyncio", "PIL.Image"])
def test_other_libraries_tell_their_wording_without_the_arguments(lines: Lines, library: str) -> None:
    logging.getLogger(library).warning("cannot serve %s", NAME)
    assert lines.last["event"] == "library_log"
    assert lines.last["library"] == library
    assert lines.last["wording"] == "cannot serve %s"
    assert lines.last["at_line"].startswith("test_log_lines.py:")
    assert NAME not in lines.getvalue()


def test_other_libraries_are_silent_below_warning(lines: Lines) -> None:
    logger = logging.getLogger("nats.chatty")
    logger.setLevel(logging.DEBUG)
    logger.info("subscribed to %s", NAME)
    assert lines.told == []


def test_a_wording_that_was_put_together_is_not_told(lines: Lines) -> None:
    logging.getLogger("nats").error(f"cannot serve {NAME}")
    logging.getLogger("nats").error("cannot serve " + NAME, stacklevel=1)
    assert "wording" not in lines.last
    assert "at_line" in lines.last
    assert NAME not in lines.getvalue()


def test_another_librarys_exception_is_told_by_type(lines: Lines) -> None:
    try:
        int(NAME)
    except ValueError:
        logging.getLogger("grpc").exception("Unexpected error")
    assert lines.last["error"] == "ValueError"
    assert lines.last["wording"] == "Unexpected error"
    assert NAME not in lines.getvalue()


def test_handlers_that_libraries_gave_themselves_are_taken_away(lines: Lines, capfd: Any) -> None:
    import uvicorn

    logger = logging.getLogger("uvicorn.access")
    saved = (logger.handlers[:], logger.propagate, logging.getLogger("uvicorn").handlers[:])
    try:
        uvicorn.Config(app="nowhere:app")
        assert not logger.propagate
        from overt.telemetry.foreign import capture

        capture()
        logger.warning('%s - "%s"', "203.0.113.9", "/v1/deployments?name=" + NAME)
        assert lines.last["wording"] == '%s - "%s"'
        assert "203.0.113.9" not in lines.getvalue() + "".join(capfd.readouterr())
    finally:
        logger.handlers, logger.propagate = saved[0], saved[1]
        logging.getLogger("uvicorn").handlers = saved[2]


def test_warnings_become_lines_without_their_text(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(NAME, stacklevel=1)
    assert lines.last["library"] == "py.warnings"
    assert NAME not in lines.getvalue()


def test_uncaught_exceptions_become_lines(lines: Lines) -> None:
    sys.excepthook(ValueError, ValueError(NAME), None)
    assert lines.last["event"] == "uncaught"

    thread = threading.Thread(target=int, args=(NAME,))
    thread.start()
    thread.join()
    assert lines.last["event"] == "uncaught_in_thread"
    assert lines.last["error"] == "ValueError"

    class Falls:
        def __del__(self) -> None:
            raise ValueError(NAME)

    Falls()
    assert lines.last["event"] == "unraisable"
    assert NAME not in lines.getvalue()


async def test_a_task_that_nobody_waited_for_tells_its_name_only(lines: Lines) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_error)

    async def fall() -> None:
        raise ValueError(NAME)

    task = asyncio.create_task(fall(), name="toy: falls")
    await asyncio.wait((task,))
    del task
    assert lines.last["event"] == "loop_error"
    assert lines.last["task"] == "toy: falls"
    assert lines.last["error"] == "ValueError"
    assert NAME not in lines.getvalue()


def test_a_broken_stream_does_not_stop_the_work(settings: ServiceSettings) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    telemetry.configure("toy", settings, stream=Gone())
    try:
        log.error("nobody_listens")
    finally:
        telemetry.shutdown()
