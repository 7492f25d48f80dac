"""Plays the walk-through for minutes and prints how each service's memory grows: python -m overt_lab.soak

Memory is PSS (a page shared by n processes counts 1/n), sampled every few seconds; the slope is a least-squares fit
over the samples after a warm-up. Exit code 1 if the sum grows by more than the limit, or a law does not hold.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from overt.cli import CONTEXT, run

from overt_lab.demo.cli import THRESHOLD, builtin_clip, builtin_list
from overt_lab.demo.run import Outcome, Stage
from overt_lab.machine import Machine, Options

SAMPLE_SECONDS = 5.0
WARM_UP = 0.2  # of the whole: caches fill, pools grow
LIMIT_MB_PER_MINUTE = 1.0


Samples = list[tuple[float, dict[str, float]]]
"""(seconds since the start, MB by service); a service that was not alive at the time is left out."""


def pss_mb(pid: int) -> float | None:
    """Proportional set size of a process, MB; None if it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:")), None)


async def _sample(machine: Machine, samples: Samples) -> None:
    start = time.monotonic()
    while True:
        alive = {name: child.pid for name, child in machine.supervisor.children.items() if child.pid}
        found = {name: pss_mb(pid) for name, pid in alive.items()}
        samples.append((time.monotonic() - start, {name: mb for name, mb in found.items() if mb is not None}))
        await asyncio.sleep(SAMPLE_SECONDS)


async def _play(stage: Stage, until: float) -> None:
    while time.monotonic() < until:
        await stage.play(builtin_clip())


def slope(samples: Samples, name: str | None = None) -> float:
    """MB per minute of one service, or of the sum over all, after the warm-up. Counts samples only in which whoever
    is asked for was alive; nan if these are fewer than two."""
    everybody = {service for _, found in samples for service in found}
    wanted = everybody if name is None else {name}
    kept = [(at, found) for at, found in samples[int(len(samples) * WARM_UP) :] if wanted <= found.keys()]
    if len(kept) < 2:
        return math.nan
    minutes = [at / 60 for at, _ in kept]
    return float(np.polyfit(minutes, [sum(found[s] for s in wanted) for _, found in kept], 1)[0])


async def soak(minutes: float) -> bool:
    """True if memory stays within the limit and both laws hold."""
    samples: Samples = []
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="overt-soak-") as data:
        machine = Machine(Options(data=Path(data)), say=click.echo)
        await machine.up()
        try:
            stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
            await stage.open(builtin_list())
            sampler = asyncio.create_task(_sample(machine, samples), name="sample memory")
            await _play(stage, time.monotonic() + minutes * 60)
            sampler.cancel()
            await stage.end()
        finally:
            await machine.down()
    click.echo(f"{'service':<10}{'first MB':>10}{'last MB':>10}{'MB/min':>10}")
    for name in samples[0][1]:
        seen = [found[name] for _, found in samples if name in found]
        click.echo(f"{name:<10}{seen[0]:>10.1f}{seen[-1]:>10.1f}{slope(samples, name):>10.2f}")
    total = slope(samples)
    click.echo(f"sum: {sum(samples[-1][1].values()):.0f} MB PSS, {total:+.2f} MB/min over {minutes:g} min")
    click.echo(f"books: {'hold' if outcome.conserved else 'BROKEN'}; {outcome.ledger['frames_in']} frames")
    if machine.deaths:
        click.echo(f"died: {', '.join(f'{name} ({code})' for name, code in machine.deaths)}")
    return outcome.conserved and not machine.deaths and total <= LIMIT_MB_PER_MINUTE


@click.command(context_settings=CONTEXT)
@click.option("--minutes", type=click.FloatRange(0.5), default=10.0, show_default=True)
def main(minutes: float) -> None:
    """Print the memory of every service over time; exit 1 if the sum grows by more than 1 MB a minute."""
    sys.exit(0 if asyncio.run(soak(minutes)) else 1)


if __name__ == "__main__":
    run(main)
