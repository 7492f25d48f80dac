"""`overt calibration`: under which cohort a deployment runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from overt.errors import Fatal
from overt.limits import MAX_COHORT_BYTES
from overt.permissions import Role

from overt_lab.reaching import reach, url_option
from overt_lab.rest import Gateway
from overt_lab.up import data_option
from overt_lab.wording import counted


@click.group()
def calibration() -> None:
    """The calibration of a deployment: what its scores mean."""


@calibration.command(name="set")
@click.argument("deployment")
@click.argument("cohort", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option(Role.APPLICANT)
@data_option
def set_(deployment: str, cohort: Path, url: str | None, data: Path | None) -> None:
    """Put COHORT.npz, a file of `overt calibrate`, in force for the draft DEPLOYMENT.

    Before its list is imported: entries are measured against the calibration when they come in. The file goes to the
    system whole and is kept there sealed, with the list, and destroyed with it.
    """
    content = _read(cohort)
    told = asyncio.run(_put(*reach(url, data, Role.APPLICANT), deployment, content))
    click.echo("\n".join(lines(told)))


@calibration.command()
@click.argument("deployment")
@url_option(Role.AUDITOR)
@data_option
def show(deployment: str, url: str | None, data: Path | None) -> None:
    """Tell which calibration is in force for DEPLOYMENT. Nothing of a person is told."""
    told = asyncio.run(_get(*reach(url, data, Role.AUDITOR), deployment))
    click.echo("\n".join(lines(told)))


def lines(told: Mapping[str, Any]) -> list[str]:
    """The gateway's answer, for people."""
    cohort = told["in_force"]
    if cohort is None:
        return [f"{told['deployment']}: {told['calibration']}"]
    who = counted(cohort["people"], "person", "people")
    groups = ", ".join(f"{name} {people}" for name, people in sorted(cohort["groups"].items()))
    return [
        f"{told['deployment']}: {told['calibration']}",
        f"cohort       {counted(cohort['templates'], 'template', 'templates')} of {who}, made {cohort['made_at'][:10]}",
        f"groups       {groups or 'none were named'}",
        f"normalised   K={cohort['best']}, a={cohort['a']:g}, b={cohort['b']:g}",
        f"misses       {'can be foretold' if cohort['tells_misses'] else 'not available: it had no mated pictures'}",
        f"source       {cohort['source']}",
        f"legal basis  {cohort['legal_basis']}",
        f"digest       {cohort['digest']}",
    ]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_COHORT_BYTES:
            raise Fatal(f"{path} has more than {MAX_COHORT_BYTES >> 20} MB: make the cohort of fewer pictures")
        return path.read_bytes()
    except OSError as error:
        raise Fatal(f"{path} cannot be read: {error.strerror}") from error


async def _put(url: str, token: str, deployment: str, content: bytes) -> dict[str, Any]:
    async with Gateway(url, lambda: token) as gateway:
        return await gateway.put_calibration(deployment, content)


async def _get(url: str, token: str, deployment: str) -> dict[str, Any]:
    async with Gateway(url, lambda: token) as gateway:
        return await gateway.calibration(deployment)
