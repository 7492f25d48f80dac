"""The documents hold: their commands, links, paths, reason codes, settings and words exist."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt.rpc.errors import status_of
from overt_ingest.camera import Camera
from overt_ingest.cameras import Cameras
from overt_ingest.domain.deployments import check_visit
from overt_ingest.handlers import Handlers, _Stay, bound_to

pytestmark = pytest.mark.unit

Documents = dict[str, str]

_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_INDENTED = re.compile(r"^(?: {4}|\t)+(\S.*)$", re.MULTILINE)


def _code(text: str) -> Iterator[str]:
    """Inline code and indented lines, without comments."""
    for found in (*_INLINE.findall(text), *_INDENTED.findall(text)):
        yield str(found).split("  #")[0].strip()


def _commands(documents: Documents, program: str) -> Iterator[tuple[str, list[str]]]:
    start = re.compile(rf"(?:\.venv/bin/)?{program} +(.+)$")
    for name, text in documents.items():
        for code in _code(text):
            if found := start.match(code):
                yield name, found[1].split()


# --- commands ---------------------------------------------------------------------------------------------------


def _targets(root: Path) -> dict[str, str]:
    """Of the Makefile, with what `make help` says of them."""
    found = re.findall(r"^([a-z-]+):(?:[^=\n]*?)(?:## (.*))?$", (root / "Makefile").read_text(), re.MULTILINE)
    return dict(found)


def test_every_make_verb_in_the_documents_exists(root: Path, documents: Documents) -> None:
    targets = _targets(root)
    used = [(name, words[0]) for name, words in _commands(documents, "make")]
    assert ("README.md", "demo") in used
    assert ("README.md", "test") in used
    assert not [(name, verb) for name, verb in used if verb not in targets]


def test_every_overt_verb_and_option_in_the_documents_exists(documents: Documents) -> None:
    verbs = {point.name: point for point in entry_points(group="overt.verbs")}
    seen = 0
    for name, words in _commands(documents, "overt"):
        if not words[0].islower():
            continue  # "overt VERB --help"
        assert words[0] in verbs, f"{name}: overt {' '.join(words)}"
        command: click.Command = verbs[words[0]].load()
        rest = words[1:]
        while isinstance(command, click.Group) and rest and rest[0].islower() and rest[0].isalpha():
            assert rest[0] in command.commands, f"{name}: overt {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        asked = {word.split("=")[0].rstrip(",") for word in rest if word.startswith("--")}
        assert asked <= {*options, "--help"}, f"{name}: overt {' '.join(words)}"
        seen += 1
    assert seen > 5


def test_make_help_lists_the_verbs_that_were_agreed(root: Path) -> None:
    said = _targets(root)
    for verb in ["help", "demo", "up", "test", "lint", "format", "proto", "check-proto", "bench", "soak", "chaos"]:
        assert said.get(verb), f"make {verb} does not exist or says nothing"


def test_what_the_makefile_runs_is_there(root: Path) -> None:
    text = (root / "Makefile").read_text()
    for script in re.findall(r"\bscripts/[\w.-]+", text):
        assert (root / script).is_file(), script
    for module in re.findall(r"python -m (overt_lab[.\w]*)", text):
        assert importlib.util.find_spec(module), module


def test_ci_runs_what_contributors_run(root: Path) -> None:
    script = root / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert {"make lint", "make test"} <= set(script.read_text().splitlines())


# --- what they point to -----------------------------------------------------------------------------------------


def test_relative_links_lead_somewhere(root: Path, documents: Documents) -> None:
    for name, text in documents.items():
        for link in _LINK.findall(text):
            if not link.startswith(("http://", "https://", "#", "mailto:")):
                assert ((root / name).parent / link.split("#")[0]).exists(), f"{name}: {link}"


def test_paths_in_the_documents_exist(root: Path, documents: Documents) -> None:
    """`libs/overt/permissions.py` and its like; in a service's README also relative to the service."""
    tops = tuple(f"{path.name}/" for path in root.iterdir() if path.is_dir())
    for name, text in documents.items():
        for code in _INLINE.findall(text):
            if code.startswith(tops) and re.fullmatch(r"[\w./-]+", code):
                assert (root / code).exists(), f"{name}: {code}"


def test_the_documents_a_newcomer_looks_for_are_there(root: Path, documents: Documents) -> None:
    wanted = ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "PRIVACY", "CHANGELOG"]
    assert {f"{name}.md" for name in wanted} <= set(documents)
    assert "Apache License" in (root / "LICENSE").read_text()


# --- codes, settings, words -------------------------------------------------------------------------------------


def _columns(text: str) -> Iterator[tuple[str, str]]:
    """(heading, cell) of every table."""
    heading: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            heading = []
            continue
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if not heading:
            heading = cells
        elif not set(line) <= set("|-: "):
            yield from zip(heading, cells, strict=False)


def test_every_reason_code_in_a_table_exists(documents: Documents) -> None:
    codes = [
        (name, code)
        for name, text in documents.items()
        for heading, cell in _columns(text)
        if "reason" in heading.lower()
        for code in _INLINE.findall(cell)
    ]
    assert ("docs/camera-integration.md", "wrong_camera") in codes
    known = {reason.value for reason in Reason}
    assert not [(name, code) for name, code in codes if code not in known]


def test_cameras_are_told_of_every_reason_that_ends_a_call(documents: Documents) -> None:
    """And of the status that each comes with."""
    text = documents["docs/camera-integration.md"].partition("## When the call ends")[2]
    cells = [cell for _, cell in _columns(text)]
    rows = zip(cells[0::3], cells[1::3], strict=False)
    told = {(code, _INLINE.findall(status)[0]) for status, codes in rows for code in _INLINE.findall(codes)}
    doors = (check_visit, bound_to, Cameras.visit, Camera.visit, Handlers, _Stay)
    raised = {
        Reason[name]
        for door in doors
        for name in re.findall(r"raise Rejected\(\s*Reason\.(\w+)", inspect.getsource(door))
    }
    assert {Reason.WRONG_CAMERA, Reason.OUTSIDE_WINDOW, Reason.CAMERA_BUSY, Reason.TOKEN_EXPIRED} <= raised
    # And what every door says of a token, before ingest sees the call.
    raised |= {Reason.TOKEN_MISSING, Reason.TOKEN_INVALID, Reason.NOT_ALLOWED}
    assert told == {(reason.value, status_of(Rejected(reason, "")).name) for reason in raised}


def test_every_name_in_the_documents_is_in_the_code(root: Path, tracked: list[Path], documents: Documents) -> None:
    """`captured_at`, `duplicate_subject`: a code or field that was renamed is still named somewhere if it is here."""
    sources = {".py", ".proto", ".toml", ".yaml", ".lock"}
    words: set[str] = set()
    for path in tracked:
        if path.suffix in sources and not path.is_relative_to(root / "tests" / "unit" / "repository"):
            words.update(re.findall(r"[a-z][a-z0-9_]+", path.read_text()))
    for name, text in documents.items():
        for code in _INLINE.findall(text):
            if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", code):
                assert code in words, f"{name}: {code}"


def test_every_setting_in_the_documents_exists(tracked: list[Path], documents: Documents) -> None:
    known = {
        f"OVERT_{field}".upper()
        for service in ("alerts", "detect", "gateway", "ingest", "match")
        for field in importlib.import_module(f"overt_{service}.settings").Settings.model_fields
    }
    read = re.compile(r"""["'](OVERT_[A-Z_0-9]+)["']""")
    for path in tracked:
        if path.suffix == ".py" and "tests" not in path.parts:
            known.update(read.findall(path.read_text()))
    for name, text in documents.items():
        for setting in re.findall(r"\bOVERT_[A-Z_0-9]+\b", text):
            assert setting in known, f"{name}: {setting}"


def test_this_version_says_what_it_is(documents: Documents) -> None:
    assert "unauthorised: development" in documents["README.md"]
    assert "Do not use it on the public" in documents["README.md"]


# --- examples ---------------------------------------------------------------------------------------------------


def test_examples_are_short_and_say_how_they_are_run(root: Path) -> None:
    examples = sorted((root / "examples").glob("*.py"))
    assert [path.name for path in examples] == ["follow_alerts.py", "push_camera.py"]
    for path in examples:
        text = path.read_text()
        assert len(text.splitlines()) < 60, path.name
        assert f"python examples/{path.name} " in text.split('"""')[1], "how it is called"
        assert not re.search(r"\bovert_\w+", text), "an integrator has the contracts and no service of ours"
