"""`overt up`, `overt login` and `overt token`: the system on one machine, and two ways into it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import click
from overt.auth import TokenIssuer
from overt.permissions import PEOPLE, Role

from overt_lab.login_codes import LIFE, login_link
from overt_lab.running import find_running, state_home

_MINUTES = int(LIFE.total_seconds() / 60)
_PEOPLE = sorted(role.value for role in PEOPLE)
PEOPLE_AND_CAMERAS = [role.value for role in Role if not role.value.startswith("service:")]

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where the system keeps its data.  [default: ~/.local/state/overt]",
)


@click.command()
@data_option
@click.option(
    "--listen", default="127.0.0.1:8600", show_default=True, metavar="HOST:PORT", help="For the page and REST."
)
@click.option(
    "--camera-listen", default="127.0.0.1:8601", show_default=True, metavar="HOST:PORT", help="For cameras, gRPC."
)
def up(data: Path | None, listen: str, camera_listen: str) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    asyncio.run(_up(data or state_home(), listen, camera_listen))


async def _up(data: Path, listen: str, camera_listen: str) -> None:
    # Here, not above: the other verbs are not to wait for the machinery.
    from overt_lab.machine import Machine, Options
    from overt_lab.stopping import finished, stop_on_signals

    options = Options(data=data, gateway_listen=listen, camera_listen=camera_listen)
    machine = Machine(options, say=lambda text: click.echo(f"overt: {text}"))
    stop = stop_on_signals()
    try:
        if await finished(machine.up(), stop):
            click.echo(f"""
  page     {machine.login_link(Role.OPERATOR)}
           (logs in once as operator, within {_MINUTES} minutes; for another link: overt login)
  REST     {machine.gateway_url}/v1 (send a token: overt token ROLE)
  cameras  {machine.camera_address} (gRPC; see examples/push_camera.py)
  data     {options.data} (logs in {machine.layout.logs})

Runs unauthorised: development. Ctrl-C stops everything, and ends every token: they are this run's.""")
            await stop.wait()
        click.echo("overt: stopping")
    finally:
        await machine.down()


@click.command()
@click.argument("role", type=click.Choice(_PEOPLE), metavar="[ROLE]", default=Role.OPERATOR.value)
@data_option
def login(role: str, data: Path | None) -> None:
    """Print a link that logs in once to the page of the system that `overt up` runs.

    ROLE is applicant, authorising_officer, operator (the default), engagement_officer, auditor or administrator.
    """
    running = find_running(data or state_home())
    click.echo(login_link(running.gateway_url, running.layout.login_codes, Role(role)))
    click.echo(f"(logs in once as {role}, within {_MINUTES} minutes)", err=True)


@click.command()
@click.argument("role", type=click.Choice(PEOPLE_AND_CAMERAS), metavar="ROLE")
@data_option
@click.option("--subject", default=None, help="Whom the log names.  [default: the role]")
@click.option("--minutes", type=click.IntRange(1, 24 * 60), default=60, show_default=True, help="How long it lasts.")
@click.option("--deployment", default=None, help="Camera tokens only: the deployment it is bound to.")
@click.option("--camera", default=None, help="Camera tokens only: the camera it is bound to.")
def token(
    role: str,
    data: Path | None,
    subject: str | None,
    minutes: int,
    deployment: str | None,
    camera: str | None,
) -> None:
    """Print a short-lived token of ROLE for the system that `overt up` runs.

    ROLE is applicant, authorising_officer, operator, engagement_officer, auditor, administrator or camera.
    Send the token as `Authorization: Bearer TOKEN`.
    """
    bound = bool(deployment) and bool(camera) if role == Role.CAMERA else not (deployment or camera)
    if not bound:
        raise click.UsageError("a camera token needs --deployment and --camera; the others take neither")
    issuer = TokenIssuer(find_running(data or state_home()).layout.issuer_key.read_bytes())
    click.echo(
        issuer.issue(
            Role(role),
            subject=subject or role,
            lifetime=timedelta(minutes=minutes),
            deployment=deployment,
            camera=camera,
        )
    )
