"""Reads all of our source: every event, field, attribute, label and span name it uses is on its closed list.

Strict mode finds what runs in a test; this finds the rest.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from overt.telemetry import Metric, SpanName
from overt.telemetry.fields import FIELDS

pytestmark = [pytest.mark.unit, pytest.mark.privacy]

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    path
    for folder in ("libs", "services", "gateway", "lab", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.relative_to(ROOT).as_posix().startswith(("libs/overt/api/", "libs/overt/telemetry/"))
]
LEVELS = {"debug", "info", "warning", "error", "exception"}
MEASURES = {"count", "observe", "gauge"}
EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")


def faults_of(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("overt.telemetry")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = [word.arg for word in node.keywords if word.arg is not None]
        match node.func:
            case ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level) if level in LEVELS:
                yield from _log_faults(node, [name for name in given if name != "error"])
            case ast.Attribute(value=ast.Name(id="logging"), attr="getLogger"):
                yield "logging.getLogger: use overt.telemetry.get_logger"
            case ast.Name(id="span") if "span" in imported:
                yield from _span_faults(node, [name for name in given if name not in ("name", "parent", "links")])
            case ast.Name(id=measure) if measure in MEASURES & imported:
                yield from _metric_faults(node, [name for name in given if name not in ("metric", "n", "value")])
            case _:
                pass


def _log_faults(node: ast.Call, fields: list[str]) -> Iterator[str]:
    event = node.args[0] if node.args else None
    if not (isinstance(event, ast.Constant) and isinstance(event.value, str) and EVENT.fullmatch(event.value)):
        yield "an event is a constant of lower-case letters, digits and underscores"
    yield from (f"field {name} is not classified" for name in fields if name not in FIELDS)


def _span_faults(node: ast.Call, attributes: list[str]) -> Iterator[str]:
    match node.args:
        case [ast.Attribute(value=ast.Name(id="SpanName"), attr=name), *_] if name not in SpanName.__members__:
            yield f"SpanName.{name} does not exist"
        case [ast.Constant(value=name), *_] if name not in set(SpanName):
            yield f"span name {name} is not in SpanName"
        case _:
            pass
    yield from (f"attribute {name} is not classified" for name in attributes if name not in FIELDS)


def _metric_faults(node: ast.Call, labels: list[str]) -> Iterator[str]:
    match node.args:
        case [ast.Attribute(value=ast.Name(id="Metric"), attr=name), *_]:
            if name not in Metric.__members__:
                yield f"Metric.{name} does not exist"
            elif not any(word.arg is None for word in node.keywords) and set(labels) != set(Metric[name].value.labels):
                yield f"Metric.{name} has the labels {Metric[name].value.labels}"
        case _:
            pass


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_source(path: Path) -> None:
    assert list(faults_of(path.read_text())) == []


def test_no_name_is_promised_and_never_recorded() -> None:
    told = "\n".join(path.read_text() for path in (*SOURCES, *(ROOT / "libs/overt/telemetry").glob("*.py")))
    names = {f"Metric.{name}" for name in Metric.__members__} | {f"SpanName.{name}" for name in SpanName.__members__}
    assert {name for name in names if not re.search(rf"\b{re.escape(name)}\b", told)} == set()


@pytest.mark.parametrize(
    "line",
    [
        "log.info('x', shoe_size=1)",
        "log.info(f'camera {x}')",
        "log.info('not an event')",
        "log.error(str(error))",
        "span(SpanName.MADE_UP)",
        "span('made up')",
        "span(SpanName.FRAME, shoe_size=1)",
        "count(Metric.MADE_UP)",
        "count(Metric.FRAMES_IN, deployment='d')",
        "count(Metric.FRAMES_IN, deployment='d', camera='c', track=1)",
        "logging.getLogger('x')",
    ],
)
def test_the_reader_finds_what_it_is_to_find(line: str) -> None:
    assert list(faults_of(f"from overt.telemetry import Metric, SpanName, count, span\n{line}"))
