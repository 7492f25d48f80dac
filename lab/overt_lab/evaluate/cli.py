"""`overt evaluate`. Nothing heavy is imported before a measurement begins."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def evaluate() -> None:
    """Measure how well the models tell people apart, on labelled pictures of yours."""


@evaluate.command()
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that the pictures' names are relative to.",
)
@click.option(
    "--pairs",
    "pairs_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV with the columns image_a, image_b and same (1 or 0).",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures.")
@click.option("--pack", default="open", show_default=True, help="The model pack; see `overt models list`.")
@click.option(
    "--model-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OVERT_MODEL_DIR",
    help="Where the prepared packs are.  [default: $OVERT_MODEL_DIR, or ~/.cache/overt/models]",
)
@click.option("--engine", type=click.Choice(["auto", "onnxruntime", "openvino"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True)
@click.option(
    "--compare",
    type=click.Choice(["f32", "bf16"]),
    help="Run this precision too, on the same pictures, and show the difference.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Pictures at a time.  [default: the cores]")
@click.option(
    "--level/--no-level", default=True, show_default=True, help="Landmarks follow the tilt of the head, as in use."
)
def verification(
    images: Path,
    pairs_file: Path,
    json_file: Path | None,
    pack: str,
    model_dir: Path | None,
    engine: str,
    precision: str,
    compare: str | None,
    workers: int | None,
    level: bool,
) -> None:
    """Do these two pictures show one person? Accuracy by LFW's ten folds, and TMR at FMR.

    The face nearest a picture's centre is taken, whatever its quality. A pair with a picture that gives no template
    counts as wrong. Fold k is the k-th tenth of the pairs of one person and the k-th tenth of the others, in the
    order of the file; its threshold is the best one for the other nine. A rate for which fewer than five errors are
    expected is not stated. The figures of the JSON are fractions.

    Nothing is written but the figures: templates live in memory, as long as this runs.
    """
    # Here, not above: help is not to wait for the engine.
    from overt_lab.conditions import cores
    from overt_lab.evaluate.faces import EngineChoice
    from overt_lab.evaluate.measuring import Plan, measure

    choices = [EngineChoice(pack, model_dir, engine, one) for one in (precision, compare) if one]
    measured = measure(Plan(images, pairs_file, tuple(choices), workers or cores(), level))
    click.echo(measured.text())
    if json_file:
        measured.write(json_file)
