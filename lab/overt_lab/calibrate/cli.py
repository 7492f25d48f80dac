"""`overt calibrate`. Nothing heavy is imported before it begins."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--images", required=True, type=_FOLDER, help="The folder that the pictures' names are relative to.")
@click.option(
    "--labels",
    required=True,
    type=_TABLE,
    help="A CSV with the column image, columns of groups, and subject; without it each picture is another person.",
)
@click.option("--by", required=True, metavar="COLUMN[,COLUMN]", help="The columns whose labels make the groups.")
@click.option("--mated", type=_FOLDER, help="Pictures like the site's, several of each person: for misses and choice.")
@click.option("--mated-labels", type=_TABLE, help="A CSV with the columns image and subject.")
@click.option("--out", required=True, type=_FILE, help="The cohort file: biometric data, readable for you alone.")
@click.option("--unbalanced", is_flag=True, help="Take a cohort that is not balanced over its groups.")
@click.option("--source", default="not stated", show_default=True, help="Where the pictures come from; kept inside.")
@click.option("--legal-basis", default="not stated", show_default=True, help="On what they are used; kept inside.")
@click.option("--json", "json_file", type=_FILE, help="Write the figures.")
@click.option("--pack", default="open", show_default=True, help="The model pack; see `overt models list`.")
@click.option(
    "--model-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OVERT_MODEL_DIR",
    help="Where the prepared packs are.  [default: $OVERT_MODEL_DIR, or ~/.cache/overt/models]",
)
@click.option("--engine", type=click.Choice(["auto", "onnxruntime", "openvino"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Pictures at a time.  [default: the cores]")
@click.option(
    "--mirrored",
    type=click.Choice(["references", "both"]),
    default="references",
    show_default=True,
    help="Templates as `overt evaluate --mirrored` makes them; references is what is in use.",
)
def calibrate(
    images: Path,
    labels: Path,
    by: str,
    mated: Path | None,
    mated_labels: Path | None,
    out: Path,
    unbalanced: bool,
    source: str,
    legal_basis: str,
    json_file: Path | None,
    pack: str,
    model_dir: Path | None,
    engine: str,
    precision: str,
    workers: int | None,
    mirrored: str,
) -> None:
    """Make a cohort file: what a score is worth, and how to make it worth the same for everybody.

    The pictures are of people who are neither on a list nor passing by, about as many of each group. Their templates
    go into the file, with where they come from, on what legal basis, and how often strangers reach a score. With
    pictures of which several show one person (--mated) it says how often people are missed, and chooses how scores
    are normalised; without, misses are not available and K=100, a=1, b=1 are taken.

    A cohort that is not balanced is refused: it makes errors less equal than none does. Groups are what your labels
    say; the file holds counts of them and does not say who is in which.
    """
    from overt.cohort import save
    from overt.errors import Fatal

    from overt_lab.calibrate import report
    from overt_lab.calibrate.calibrating import Plan
    from overt_lab.calibrate.calibrating import calibrate as run
    from overt_lab.conditions import conditions, cores
    from overt_lab.evaluate.faces import EngineChoice
    from overt_lab.evaluate.templates import Mirrored
    from overt_lab.figures import write_json

    if (mated is None) != (mated_labels is None):
        raise click.UsageError("--mated and --mated-labels go together")
    columns = tuple(name.strip() for name in by.split(",") if name.strip())
    if not columns or len(set(columns)) < len(columns):
        raise click.BadParameter("give the names of one or more columns, each once", param_hint="--by")
    both = None if mated is None or mated_labels is None else (mated, mated_labels)
    choice = EngineChoice(pack, model_dir, engine, precision)
    how = Mirrored(mirrored)
    done = run(Plan(images, labels, columns, both, choice, workers or cores(), unbalanced, how, source, legal_basis))
    save(done.cohort, out)
    click.echo(report.text(done))
    click.echo(f"\n{out}: biometric data of uninvolved people; keep it sealed, and delete it when it has served")
    if "not stated" in (source, legal_basis):
        click.echo("its source or legal basis is not stated: say --source and --legal-basis before it is put to use")
    if json_file:
        try:
            write_json(json_file, {**report.figures(done), "input": {"images": str(images)}, **conditions()})
        except OSError as error:
            raise Fatal(f"{json_file} cannot be written ({error.strerror}): choose another file") from error
