"""The `overt` command: exit codes, and verbs that are not loaded before they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from overt import cli
from overt.errors import Fatal, Rejected, Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt_lab.up import PEOPLE_AND_CAMERAS, token

pytestmark = pytest.mark.unit


def _raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "code", "told"),
    [
        (lambda: None, 0, ""),
        (_raises(click.exceptions.Exit(0)), 0, ""),
        (_raises(click.exceptions.Exit(1)), 1, ""),
        (_raises(Fatal("the port is taken")), 2, "overt: the port is taken\n"),
        (_raises(Retryable("it is away")), 1, "overt: it is away\n"),
        (_raises(Rejected(Reason.NO_FACE, "there is none")), 1, "overt: there is none\n"),
        (_raises(click.UsageError("--video needs --watchlist")), 2, "--video needs --watchlist"),
        (_raises(KeyboardInterrupt()), 130, "stopped"),
        (_raises(click.Abort()), 130, "stopped"),
    ],
)
def test_every_end_has_its_exit_code(
    act: Callable[[], None], code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A demo that missed somebody once ended with 0: outside standalone mode click returns an Exit's code."""
    monkeypatch.setattr(sys, "argv", ["overt"])
    with pytest.raises(SystemExit) as end:
        cli.run(click.Command("verb", callback=act))
    assert end.value.code == code
    output = capsys.readouterr()
    assert told in output.err
    assert output.out == ""


def test_a_defect_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["overt"])
    with pytest.raises(ZeroDivisionError):
        cli.run(click.Command("verb", callback=_raises(ZeroDivisionError())))


def test_help_shows_every_verb_and_loads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EntryPoint, "load", lambda point: pytest.fail(f"{point.name} was loaded"))
    shown = CliRunner().invoke(cli.overt, ["--help"])
    assert shown.exit_code == 0, shown.output
    for point in entry_points(group="overt.verbs"):
        (line,) = [line for line in shown.output.splitlines() if line.split()[:1] == [point.name]]
        assert len(line.split()) > 3, "it says what the verb is about"


def test_help_says_what_the_verbs_say_themselves() -> None:
    for point in entry_points(group="overt.verbs"):
        assert (cli._about(point) or "").split() == str(point.load().callback.__doc__).split()


def test_the_verbs_are_those_that_were_agreed() -> None:
    assert {point.name for point in entry_points(group="overt.verbs")} >= {"demo", "up", "token", "models", "watchlist"}


def test_a_verb_whose_packages_are_not_installed_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's image holds its own extra only, and the whole command."""

    def missing(name: str) -> Callable[[EntryPoint], object]:
        return lambda point: (_ for _ in ()).throw(ModuleNotFoundError(f"No module named {name!r}", name=name))

    monkeypatch.setattr(EntryPoint, "load", missing("av"))
    shown = CliRunner().invoke(cli.overt, ["demo"])
    assert isinstance(shown.exception, Fatal)
    assert "`overt demo` needs the package av" in str(shown.exception)
    monkeypatch.setattr(EntryPoint, "load", missing("overt_lab.gone"))
    assert isinstance(CliRunner().invoke(cli.overt, ["demo"]).exception, ModuleNotFoundError), "a defect of ours"


# --- overt token, as far as it goes without a system ------------------------------------------------------------


def test_tokens_are_for_people_and_cameras_never_for_services() -> None:
    assert set(PEOPLE_AND_CAMERAS) == {role.value for role in Role} - {
        Role.SERVICE_GATEWAY,
        Role.SERVICE_INGEST,
        Role.SERVICE_MATCH,
    }
    shown = CliRunner().invoke(token, ["service:gateway"])
    assert shown.exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["camera"],
        ["camera", "--deployment", "d"],
        ["camera", "--camera", "c"],
        ["operator", "--deployment", "d"],
        ["operator", "--camera", "c"],
        ["operator", "--deployment", "d", "--camera", "c"],
    ],
)
def test_only_a_camera_is_bound_and_it_has_to_be(arguments: list[str], tmp_path: Path) -> None:
    shown = CliRunner().invoke(token, [*arguments, "--data", str(tmp_path)])
    assert shown.exit_code == 2
    assert "a camera token needs --deployment and --camera" in shown.output
