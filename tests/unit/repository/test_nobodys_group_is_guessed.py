"""Nothing that runs knows anybody's sex, age, origin or looks, or has a place to put them. Labels of groups are read by
the lab, from a file that somebody wrote; a running system knows counts of them, of the cohort, and that an entry is
under 18, because people said so."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from overt.models import Task

pytestmark = pytest.mark.unit

RUNNING = ("libs", "services", "gateway")
PACKAGES = ("alerts", "control", "detect", "ingest", "match", "types")

WORDS = frozenset(
    re.findall(
        r"[a-z]+",
        """
        gender genders sex sexes male males female females man men woman women boy boys girl girls age ages aged adult
        adults race races racial ethnic ethnicity ethnicities nationality nationalities religion religious skin
        complexion hair asian black white indian hispanic african caucasian demographic demographics emotion emotions
        mood moods
        """,
    )
)

ELSEWHERE = {
    "max_age": "how long the bus keeps a message",
    "max-age": "how long a browser insists on TLS",
    "age_then": "of a frame, in seconds",
    "the shots were captured in another age": "a time stamp that cannot be",
    "_on_black": "a picture's rim",
    "black": "of a picture's rim",
    "Hair, glasses, age and light": "what to look beyond when two pictures are compared, told to an operator",
}
"""The same words where they are about something else."""


def _words(text: str) -> set[str]:
    for known in sorted(ELSEWHERE, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z]){re.escape(known)}(?![A-Za-z])", " ", text)
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()))


def _said(text: str) -> set[str]:
    return _words(text) & WORDS


def _files(root: Path, *endings: str) -> list[Path]:
    found = [path for part in RUNNING for path in (root / part).rglob("*") if path.suffix in endings]
    return [path for path in found if not path.name.endswith(("_pb2.py", "_pb2_grpc.py"))]


def _named(tree: ast.Module) -> Iterator[str]:
    """Every name and every text of a module but its docstrings."""
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name):
                yield name
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield text


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize(
    "name", ["gender", "Face.estimatedAge", "skin_tone", "isFemale", "ETHNICITY", "Black, male", "ages"]
)
def test_the_words_are_found(name: str) -> None:
    assert _said(name)
    assert not _said("image, page, message, trace, embrace, command, max_age, postage, usage, sexagesimal")


def test_code_settings_and_schemas_of_what_runs_name_none(root: Path) -> None:
    """REST schemas and settings are classes of these modules; reasons, metrics and log fields are texts of them."""
    said = {
        (str(path.relative_to(root)), name)
        for path in _files(root, ".py")
        for name in _named(ast.parse(path.read_text()))
        if _said(name)
    }
    assert not said


def test_the_page_and_what_is_deployed_name_none(root: Path) -> None:
    files = [*_files(root, ".js", ".html", ".toml"), *(root / "deploy").rglob("*.yaml"), *root.glob("proto/**/*.proto")]
    assert len(files) > 20
    said = {
        (str(path.relative_to(root)), line.strip())
        for path in files
        for line in path.read_text().splitlines()
        if _said(line)
    }
    assert not said


def test_what_runs_does_not_import_the_lab(root: Path) -> None:
    for path in _files(root, ".py"):
        lab = [name for name in _imported(ast.parse(path.read_text())) if name.split(".")[0] == "overt_lab"]
        # The command's verbs are found by their entry points, not imported.
        assert not lab, path
    for dockerfile in [*root.glob("services/*/Dockerfile"), root / "gateway" / "Dockerfile"]:
        assert not re.search(r"\blab\b|overt_lab", dockerfile.read_text()), dockerfile


def test_models_find_faces_and_make_templates_and_do_nothing_else() -> None:
    assert {task.value for task in Task} == {"detection", "recognition"}


def _messages(message: Descriptor) -> Iterator[Descriptor]:
    yield message
    for inner in message.nested_types:
        yield from _messages(inner)


def _contract() -> Iterator[Descriptor | EnumDescriptor]:
    for package in PACKAGES:
        module = importlib.import_module(f"overt.api.{package}.v1.{package}_pb2")
        yield from module.DESCRIPTOR.enum_types_by_name.values()
        for message in module.DESCRIPTOR.message_types_by_name.values():
            for one in _messages(message):
                yield one
                yield from one.enum_types


def _fields() -> list[FieldDescriptor]:
    return [field for one in _contract() if isinstance(one, Descriptor) for field in one.fields]


def test_every_message_is_looked_at(root: Path) -> None:
    assert {path.parent.parent.name for path in root.glob("proto/**/*.proto")} == set(PACKAGES)
    assert len(_fields()) > 150


def test_no_message_field_or_value_names_one() -> None:
    names = [field.full_name for field in _fields()]
    for one in _contract():
        names.append(one.full_name)
        if isinstance(one, EnumDescriptor):
            names += [value.name for value in one.values]
    assert not [name for name in names if _said(name)]


def test_of_groups_there_are_counts_of_the_cohort_only() -> None:
    (groups,) = [field for field in _fields() if {"group", "groups"} & _words(field.name)]
    assert groups.full_name == "overt.api.match.v1.Calibration.groups"
    kinds = {field.name: field.type for field in groups.message_type.fields}
    assert kinds == {"key": FieldDescriptor.TYPE_STRING, "value": FieldDescriptor.TYPE_UINT32}, (
        "how many people, by label"
    )


def test_under_18_is_said_of_entries_and_of_nobody_who_passes() -> None:
    """Cameras, ingest and detect have no place for it."""
    places = {field.full_name.split(".")[2] for field in _fields() if field.name.startswith("under_18")}
    assert places == {"alerts", "control", "match"}
    for message in ("SearchRequest", "Probe"):
        module = importlib.import_module("overt.api.match.v1.match_pb2")
        assert not any(f.name.startswith("under_18") for f in module.DESCRIPTOR.message_types_by_name[message].fields)
