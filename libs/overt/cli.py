"""The `overt` command. Its verbs are entry points (group `overt.verbs`), so that each lives with what it drives."""

from __future__ import annotations

import ast
import importlib.util
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NoReturn

import click

from overt.errors import Fatal, OvertError

CONTEXT = {"help_option_names": ["-h", "--help"]}
"""Click's context settings of every command that stands alone; verbs have them from `overt`."""

_GROUP = "overt.verbs"


class _Verbs(click.Group):
    """Loads a verb only when it is asked for: `overt token` need not import an inference engine."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(point.name for point in entry_points(group=_GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for point in entry_points(group=_GROUP, name=cmd_name):
            try:
                command = point.load()
            except ModuleNotFoundError as error:
                if (error.name or "overt").startswith("overt"):
                    raise
                # A service's image holds its own extra only.
                raise Fatal(
                    f"`overt {cmd_name}` needs the package {error.name}, which is not installed here: "
                    "install overt with its extra `lab`"
                ) from error
            if not isinstance(command, click.Command):  # pragma: no cover - a packaging defect
                raise TypeError(f"entry point {cmd_name} is not a click command")
            return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click's own, but reads what each verb is about in its source instead of importing all of them."""
        width = formatter.width - 6 - max(len(name) for name in self.list_commands(ctx))
        rows = [
            (point.name, click.Command(None, help=_about(point)).get_short_help_str(width))
            for point in sorted(entry_points(group=_GROUP), key=lambda point: point.name)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _about(point: EntryPoint) -> str | None:
    """The docstring of the function that an entry point names; None if there is no source to read."""
    spec = importlib.util.find_spec(point.module)
    if spec is None or spec.origin is None:
        return None
    for node in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == point.attr:
            return ast.get_docstring(node)
    return None


@click.command(cls=_Verbs, context_settings=CONTEXT)
@click.version_option(package_name="overt", prog_name="overt")
def overt() -> None:
    """Live facial recognition for overt, authorised, time-boxed deployments.

    Start with `overt demo`. Every verb explains itself: overt VERB --help.
    """


def main() -> NoReturn:
    """Entry point of the `overt` command."""
    run(overt)


def run(command: click.Command) -> NoReturn:
    """Runs a command and exits: errors that we raise on purpose become one line and an exit code, no traceback.

    0 done; 1 refused, or not as expected; 2 Fatal, or wrong usage; 130 stopped by Ctrl-C.
    """
    try:
        # Outside its standalone mode click returns the code of an `Exit` instead of raising it.
        code = command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except Fatal as error:
        click.echo(f"overt: {error}", err=True)
        sys.exit(2)
    except OvertError as error:
        click.echo(f"overt: {error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
