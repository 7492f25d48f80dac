"""The `overt` command. Its verbs are entry points (group `overt.verbs`), so that each lives with what it drives."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

import click

from overt.errors import Fatal, OvertError

_GROUP = "overt.verbs"


class _Verbs(click.Group):
    """Loads a verb only when it is asked for: `overt token` need not import an inference engine."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(point.name for point in entry_points(group=_GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for point in entry_points(group=_GROUP, name=cmd_name):
            command = point.load()
            if not isinstance(command, click.Command):  # pragma: no cover - a packaging defect
                raise TypeError(f"entry point {cmd_name} is not a click command")
            return command
        return None


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="overt", prog_name="overt")
def overt() -> None:
    """Live facial recognition for overt, authorised, time-boxed deployments.

    Start with `overt demo`. Every verb explains itself: overt VERB --help.
    """


def main(**extra: Any) -> None:
    """Entry point: errors that we raise on purpose become one line and exit code 2, never a traceback."""
    try:
        overt.main(standalone_mode=False, **extra)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
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
