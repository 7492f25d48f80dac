"""`overt up` and `overt token`: the system on one machine, and a token for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
from overt.auth import TokenIssuer
from overt.errors import Fatal
from overt.permissions import Role

from overt_lab.machine import Machine, Options, state_home

PEOPLE_AND_CAMERAS = [role.value for role in Role if not role.value.startswith("service:")]
_RUNNING = "running.json"


@dataclass(frozen=True, slots=True)
class Running:
    """What `overt up` left for the other verbs to find."""

    gateway_url: str
    camera_address: str
    issuer_key: Path
    pid: int


def find_running(data: Path) -> Running:
    """Fatal, with what to do, if no system runs on this data directory."""
    advice = "start one with `overt up`, or say where it is with --data DIR"
    try:
        found = json.loads((data / _RUNNING).read_text())
        running = Running(found["gateway_url"], found["camera_address"], Path(found["issuer_key"]), int(found["pid"]))
        os.kill(running.pid, 0)
    except FileNotFoundError:
        raise Fatal(f"no system runs on {data}: {advice}") from None
    except (ValueError, KeyError):
        raise Fatal(f"{data / _RUNNING} is not readable: {advice}") from None
    except ProcessLookupError:
        raise Fatal(f"the system on {data} has ended: {advice}") from None
    return running


data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Where the system keeps its data.  [default: ~/.local/state/overt]",
)


@click.command()
@data_option
@click.option("--listen", default="127.0.0.1:8600", show_default=True, help="For the page and REST.")
@click.option("--camera-listen", default="127.0.0.1:8601", show_default=True, help="For cameras, gRPC.")
def up(data: Path | None, listen: str, camera_listen: str) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    options = Options(data=data or state_home(), gateway_listen=listen, camera_listen=camera_listen)
    asyncio.run(_up(options))


async def _up(options: Options) -> None:
    machine = Machine(options, say=lambda text: click.echo(f"overt: {text}"))
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    note = options.data / _RUNNING
    try:
        await machine.up()
        note.write_text(
            json.dumps(
                {
                    "gateway_url": machine.gateway_url,
                    "camera_address": machine.camera_address,
                    "issuer_key": str(machine.layout.issuer_key),
                    "pid": os.getpid(),
                }
            )
        )
        code = machine.login_code(Role.OPERATOR)
        click.echo(f"""
  page     {machine.gateway_url}/#code={code}
           (logs in once as operator, within 15 minutes; another way in: overt token operator)
  cameras  {machine.camera_address} (gRPC; see examples/push_camera.py)
  data     {options.data} (logs in {machine.layout.logs})

Runs unauthorised: development. Ctrl-C stops everything.""")
        await stop.wait()
        click.echo("overt: stopping")
        note.unlink(missing_ok=True)
    finally:
        await machine.down()


@click.command()
@click.argument("role", type=click.Choice(PEOPLE_AND_CAMERAS), metavar="ROLE")
@data_option
@click.option("--subject", default=None, help="Whom the log names.  [default: the role]")
@click.option("--minutes", type=click.IntRange(1, 24 * 60), default=60, show_default=True)
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
    if (role == Role.CAMERA) != bool(deployment and camera):
        raise click.UsageError("a camera token needs --deployment and --camera; the others take neither")
    running = find_running(data or state_home())
    issuer = TokenIssuer(running.issuer_key.read_bytes())
    click.echo(
        issuer.issue(
            Role(role),
            subject=subject or role,
            lifetime=timedelta(minutes=minutes),
            deployment=deployment,
            camera=camera,
        )
    )
