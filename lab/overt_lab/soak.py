"""Plays the walk-through for minutes and prints how each service's memory grows: python -m overt_lab.soak

Memory is PSS (a page shared by n processes counts 1/n), sampled every few seconds; the slope is a least-squares fit
over the samples after a warm-up. Exit code 1 if the sum grows by more than the limit, or a law does not hold.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from overt_lab.demo.cli import THRESHOLD, builtin_clip, builtin_list
from overt_lab.demo.run import Outcome, Stage
from overt_lab.machine import Machine, Options

SAMPLE_SECONDS = 5.0
WARM_UP = 0.2  # of the whole: caches fill, pools grow
LIMIT_MB_PER_MINUTE = 1.0


def pss_mb(pid: int) -> float:
    """Proportional set size of a process, MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return float("nan")


async def _sample(machine: Machine, samples: list[tuple[float, dict[str, float]]]) -> None:
    start = time.monotonic()
    while True:
        alive = {name: child.pid for name, child in machine.supervisor.children.items() if child.pid}
        samples.append((time.monotonic() - start, {name: pss_mb(pid) for name, pid in alive.items()}))
        await asyncio.sleep(SAMPLE_SECONDS)


async def _play(stage: Stage, until: float) -> None:
    while time.monotonic() < until:
        await stage.play(builtin_clip())


def slope(samples: list[tuple[float, dict[str, float]]], name: str | None = None) -> float:
    """MB per minute of one service, or of the sum."""
    kept = samples[int(len(samples) * WARM_UP) :]
    minutes = np.array([at / 60 for at, _ in kept])
    megabytes = np.array([sum(found.values()) if name is None else found.get(name, np.nan) for _, found in kept])
    return float(np.polyfit(minutes, megabytes, 1)[0])


async def soak(minutes: float) -> bool:
    """True if memory stays within the limit and both laws hold."""
    samples: list[tuple[float, dict[str, float]]] = []
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
        first, last = samples[0][1][name], samples[-1][1][name]
        click.echo(f"{name:<10}{first:>10.1f}{last:>10.1f}{slope(samples, name):>10.2f}")
    total = slope(samples)
    click.echo(f"sum: {sum(samples[-1][1].values()):.0f} MB PSS, {total:+.2f} MB/min over {minutes:g} min")
    click.echo(f"books: {'hold' if outcome.conserved else 'BROKEN'}; {outcome.ledger['frames_in']} frames")
    return outcome.conserved and total <= LIMIT_MB_PER_MINUTE


@click.command()
@click.option("--minutes", type=click.FloatRange(0.5), default=10.0, show_default=True)
def main(minutes: float) -> None:
    """Print the memory of every service over time; exit 1 if the sum grows by more than 1 MB a minute."""
    sys.exit(0 if asyncio.run(soak(minutes)) else 1)


if __name__ == "__main__":
    main()
