"""Kills services with -9, again and again, while people walk: python -m overt_lab.chaos --kills 20

Afterwards both conservation laws must hold and both listed people must have exactly one alert each. How many lives
were killed and how many are declared is printed service by service: one killed before it had signed in, or before a
camera had reached it, is not declared. Seeded: the same seed kills the same services at the same moments of the clip.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from overt.cli import CONTEXT, run
from overt.permissions import Role

from overt_lab.demo.cli import THRESHOLD, builtin_clip, builtin_list
from overt_lab.demo.run import DEPLOYMENT, Outcome, Stage
from overt_lab.machine import Machine, Options
from overt_lab.rest import Gateway
from overt_lab.wording import counted

VICTIMS = ("detect", "match", "alerts", "ingest", "gateway", "nats")
DECLARED = frozenset({"detect", "match", "alerts", "ingest"})
"""Those whose lost lives the ledger knows."""
_GAP_S = (1.0, 5.0)


async def _kill(machine: Machine, kills: int, chance: np.random.Generator) -> None:
    for _ in range(kills):
        await asyncio.sleep(float(chance.uniform(*_GAP_S)))
        machine.supervisor[str(chance.choice(VICTIMS))].kill()


@contextlib.asynccontextmanager
async def killing(machine: Machine, kills: int, chance: np.random.Generator) -> AsyncIterator[asyncio.Task[None]]:
    """While the body runs and no longer: what is being stopped is not to be killed. Raises what went wrong in it."""
    killer = asyncio.create_task(_kill(machine, kills, chance), name="kill")
    try:
        yield killer
        await killer
    finally:
        killer.cancel()
        await asyncio.wait({killer})


async def chaos(kills: int, seed: int) -> bool:
    """True if nothing was lost that may not be lost."""
    outcome = Outcome(expected=["alder", "juniper"])
    with tempfile.TemporaryDirectory(prefix="overt-chaos-") as data:
        # However long a kill hides somebody: who is seen again joins the alert that there is.
        patient = {"alerts": {"OVERT_COOLDOWN_SECONDS": "3600"}}
        machine = Machine(Options(data=Path(data), extra=patient), say=click.echo)
        await machine.up()
        try:
            stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
            await stage.open(builtin_list())
            async with stage.watching(lambda alert: None):
                async with killing(machine, kills, np.random.default_rng(seed)) as killer:
                    while not killer.done():
                        await stage.play(builtin_clip())
                # One quiet round, so that whoever walked under a kill is seen again.
                await stage.play(builtin_clip())
            async with Gateway(machine.gateway_url, lambda: machine.token(Role.OPERATOR)) as operator:
                alerts = await operator.alerts(DEPLOYMENT)
            await stage.end()
        finally:
            await machine.down()
    killed = Counter(name for name, _ in machine.deaths)
    declared = Counter(epoch["service"] for epoch in outcome.ledger["declared_epochs"])
    for name in sorted(killed):
        known = f", {declared[name]} declared" if name in DECLARED else ""
        click.echo(f"{name}: {killed[name]} killed{known}")
    click.echo(counted(len(alerts), "alert", "alerts"))
    click.echo(f"books: {'hold' if outcome.conserved else 'BROKEN'}; {outcome.ledger['frames_in']} frames")
    return unharmed(outcome, alerts)


def unharmed(outcome: Outcome, alerts: Sequence[Mapping[str, Any]]) -> bool:
    """Both laws hold, nothing is in flight, and everyone expected has one alert: not none, and not two."""
    alerted = sorted(alert["subject_ref"] for alert in alerts)
    return outcome.conserved and alerted == outcome.expected and outcome.ledger["in_flight"] == 0


@click.command(context_settings=CONTEXT)
@click.option("--kills", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def main(kills: int, seed: int) -> None:
    """Kill services at random while people walk; exit 1 if an alert or a frame went missing."""
    sys.exit(0 if asyncio.run(chaos(kills, seed)) else 1)


if __name__ == "__main__":
    run(main)
