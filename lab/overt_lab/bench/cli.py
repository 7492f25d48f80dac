"""`overt bench`: figures of the whole system on the machine at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

T = TypeVar("T")

_video = click.option(
    "--video",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The clip: an MP4 with H.264 or H.265, as a camera would send it.",
)
_anew = click.option(
    "--anew",
    is_flag=True,
    help="Encode the clip anew, in memory, as surveillance cameras do: without B-frames, which cost 0.2 s.",
)
_json = click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures.")


def _sizes(context: click.Context, parameter: click.Parameter, given: str) -> list[int]:
    """Of `--sizes`, in rising order, each once."""
    try:
        sizes = sorted({int(size) for size in given.split(",")})
    except ValueError:
        raise click.BadParameter("give numbers, as in 1000,10000") from None
    if not 100 <= sizes[0] <= sizes[-1] <= 4_000_000:
        raise click.BadParameter("a list has 100 to 4,000,000 entries")
    return sizes


@click.group()
def bench() -> None:
    """Measure the whole system on this machine: how much it sees, how soon, at what cost."""


@bench.command()
@_video
@click.option("--cameras", type=click.IntRange(1, 32), default=1, show_default=True, help="That play the clip.")
@click.option("--seconds", type=click.FloatRange(2, 3600), default=30.0, show_default=True, help="After the warm-up.")
@click.option("--baseline", is_flag=True, help="Also measure what peers do, before and after.")
@_anew
@_json
def pipeline(video: Path, cameras: int, seconds: float, baseline: bool, anew: bool, json_file: Path | None) -> None:
    """End to end, all services: cameras that are pulled play the clip again and again.

    Two people of the clip are put on a list of 2,000, in memory. Prints frames a second, latencies, cost and memory.
    """
    # Here, not above: `overt bench --help` is not to wait for an inference engine.
    from overt_lab.bench.figures import figures, text
    from overt_lab.bench.pipeline import run
    from overt_lab.figures import write_json

    found = figures(_run(run(video, cameras, seconds, baseline=baseline, anew=anew, say=_say)))
    if json_file:
        write_json(json_file, found)
    click.echo(text(found))


@bench.command()
@_video
@click.option("--seconds", type=click.FloatRange(2, 600), default=15.0, show_default=True, help="For each mode.")
@_anew
@_json
def overload(video: Path, seconds: float, anew: bool, json_file: Path | None) -> None:
    """Four times as many frames as the machine can analyse: how old is what it looks at?

    Measures the capacity, then offers four times that by cameras that are pulled and by cameras that push; beside them
    what a first-come-first-served queue would do.
    """
    from overt_lab.bench.overload import run, text
    from overt_lab.figures import write_json

    found = _run(run(video, seconds, anew=anew, say=_say))
    if json_file:
        write_json(json_file, found)
    click.echo(text(found))


@bench.command()
@click.option(
    "--sizes",
    default="1000,10000,100000,1000000",
    show_default=True,
    metavar="N[,N]",
    callback=_sizes,
    help="Entries on the list.",
)
@_json
def match(sizes: list[int], json_file: Path | None) -> None:
    """Searching a list: latency on one core beside numpy's, and whether the best is found. Exact, as in use.

    Lists are of random numbers, a million takes a minute and 3 GB. Timed is what match does for a shot: its index, then
    the best ones scored anew against a cohort, whose statistics of the list are made on import.
    """
    from overt_lab.bench.match import run, text
    from overt_lab.figures import write_json

    found = _run(run(sizes))
    if json_file:
        write_json(json_file, found)
    click.echo(text(found))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Ends in the orderly way on Ctrl-C, too."""
    from overt_lab.stopping import finished, stop_on_signals

    results: list[T] = []

    async def kept() -> None:
        results.append(await work)

    async def until_stopped() -> bool:
        return await finished(kept(), stop_on_signals())

    if not asyncio.run(until_stopped()):
        raise click.Abort
    return results[0]


def _say(line: str) -> None:
    click.echo(f"overt: {line}", err=True)
