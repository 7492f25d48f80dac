"""`overt forecast`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--cohort",
    "cohort_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of `overt calibrate`.",
)
@click.option("--watchlist-size", required=True, type=click.IntRange(1, 10_000_000), help="Entries on the list.")
@click.option("--footfall", required=True, type=click.IntRange(1, 100_000_000), help="People who pass, not listed.")
@click.option("--threshold", type=float, help="A normalised score.  [default: that of --target-fpir]")
@click.option(
    "--target-fpir",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=1e-3,
    show_default=True,
    help="The share of passers-by who may alert, where no threshold is given.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures.")
def forecast(
    cohort_file: Path,
    watchlist_size: int,
    footfall: int,
    threshold: float | None,
    target_fpir: float,
    json_file: Path | None,
) -> None:
    """How many false alerts and misses to expect, with intervals.

    The interval of the false alerts holds the number of 95 days in 100 like this one: it counts that people differ,
    that a list and a street are chance draws of people, and that the calibration saw only so many. It is for one shot
    a person: the agreement of two makes false alerts fewer. It holds for pictures like those of the calibration.
    What lies beyond the calibration's data is marked `extrapolated`.
    """
    from overt.cohort import load
    from overt.errors import Fatal
    from overt.scoring import fmr_for
    from overt.scoring import forecast as of

    from overt_lab.conditions import conditions
    from overt_lab.figures import write_json
    from overt_lab.forecast import report

    cohort = load(cohort_file)
    if threshold is None:
        threshold, _ = cohort.score_to_rate.score_at(fmr_for(target_fpir, watchlist_size))
    told = of(cohort.score_to_rate, cohort.misses, list_size=watchlist_size, footfall=footfall, threshold=threshold)
    click.echo(report.text(told, cohort))
    if json_file:
        try:
            write_json(json_file, {**report.figures(told, cohort), "cohort": str(cohort_file), **conditions()})
        except OSError as error:
            raise Fatal(f"{json_file} cannot be written ({error.strerror}): choose another file") from error
