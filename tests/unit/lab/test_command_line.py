"""The `overt` command: exit codes, and verbs that are not loaded before they are asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from overt import cli
from overt.errors import Fatal, Rejected, Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt.runtime import SystemClock
from overt_gateway.auth import LoginCodes
from overt_lab import chaos, soak
from overt_lab.layout import Layout
from overt_lab.running import Hold, Running
from overt_lab.up import PEOPLE_AND_CAMERAS, login, token

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
    assert {point.name for point in entry_points(group="overt.verbs")} >= {
        "demo",
        "up",
        "login",
        "token",
        "models",
        "watchlist",
        "evaluate",
    }


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


@pytest.mark.parametrize("command", [cli.overt, soak.main, chaos.main])
def test_help_is_short_everywhere(command: click.Command) -> None:
    shown = CliRunner().invoke(command, ["-h"])
    assert shown.exit_code == 0, shown.output
    assert "-h, --help" in shown.output


# --- overt login and overt token, as far as they go without a system --------------------------------------------


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path / "data", tmp_path / "overt-run")
    layout.data.mkdir()
    layout.run.mkdir()
    hold = Hold(layout)
    hold.ready(Running("http://127.0.0.1:8600", "127.0.0.1:8601", layout, os.getpid()))
    yield layout
    hold.release()


@pytest.mark.parametrize(("asked", "role"), [([], Role.OPERATOR), (["auditor"], Role.AUDITOR)])
async def test_a_login_link_holds_a_code_that_works_once(running: Layout, asked: list[str], role: Role) -> None:
    shown = CliRunner().invoke(login, [*asked, "--data", str(running.data)])
    assert shown.exit_code == 0, shown.output
    assert role in shown.stderr
    assert "within 15 minutes" in shown.stderr
    page, code = shown.stdout.strip().split("/#code=")
    assert page == "http://127.0.0.1:8600"
    assert code not in running.login_codes.read_text(), "only its digest is kept"
    codes = LoginCodes(running.login_codes, SystemClock())
    assert await codes.redeem(code) is role
    with pytest.raises(Rejected):
        await codes.redeem(code)


def test_every_login_link_is_another(running: Layout) -> None:
    links = {CliRunner().invoke(login, ["--data", str(running.data)]).stdout for _ in range(2)}
    assert len(links) == len(running.login_codes.read_text().splitlines()) == 2


@pytest.mark.parametrize("role", ["camera", "service:gateway"])
def test_only_people_log_in(role: str, tmp_path: Path) -> None:
    assert CliRunner().invoke(login, [role, "--data", str(tmp_path)]).exit_code == 2


def test_a_login_without_a_system_says_what_to_do(tmp_path: Path) -> None:
    shown = CliRunner().invoke(login, ["--data", str(tmp_path)])
    assert "start one with `overt up`" in str(shown.exception)


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
