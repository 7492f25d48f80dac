"""`overt evaluate`. Nothing heavy is imported before a measurement begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

if TYPE_CHECKING:
    from overt_lab.evaluate.measuring import Measured, Plan

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Common(TypedDict):
    """The options that all three have."""

    images: Path
    cohort: Path | None
    json_file: Path | None
    html_file: Path | None
    pack: str
    model_dir: Path | None
    engine: str
    precision: str
    workers: int | None
    level: bool
    mirrored: str


_COMMON = (
    click.option(
        "--images",
        required=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="The folder that the pictures' names are relative to.",
    ),
    click.option(
        "--cohort",
        type=_TABLE,
        help="Judge scores normalised against this file of `overt calibrate` too: the score that ships.",
    ),
    click.option("--json", "json_file", type=_FILE, help="Write the figures."),
    click.option(
        "--html", "html_file", type=_FILE, help="Write a report with plots: one file, nothing from elsewhere."
    ),
    click.option("--pack", default="open", show_default=True, help="The model pack; see `overt models list`."),
    click.option(
        "--model-dir",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="OVERT_MODEL_DIR",
        help="Where the prepared packs are.  [default: $OVERT_MODEL_DIR, or ~/.cache/overt/models]",
    ),
    click.option("--engine", type=click.Choice(["auto", "onnxruntime", "openvino"]), default="auto", show_default=True),
    click.option("--precision", type=click.Choice(["auto", "f32", "bf16"]), default="auto", show_default=True),
    click.option(
        "--workers", type=click.IntRange(1, 256), default=None, help="Pictures at a time.  [default: the cores]"
    ),
    click.option(
        "--level/--no-level", default=True, show_default=True, help="Landmarks follow the tilt of the head, as in use."
    ),
    click.option(
        "--mirrored",
        type=click.Choice(["none", "references", "both"]),
        default="references",
        show_default=True,
        help="Whose templates are means of a face's and its mirror image's: references', as in use, or everybody's.",
    ),
)


def _common(command: F) -> F:
    for option in reversed(_COMMON):
        command = option(command)
    return command


@click.group()
def evaluate() -> None:
    """Measure how well, and for whom, the models tell people apart, on labelled pictures of yours."""


@evaluate.command()
@click.option(
    "--pairs",
    "pairs_file",
    required=True,
    type=_TABLE,
    help="A CSV with the columns image_a, image_b and same (1 or 0).",
)
@click.option(
    "--compare",
    type=click.Choice(["f32", "bf16"]),
    help="Run this precision too, on the same pictures, and show the difference.",
)
@_common
def verification(pairs_file: Path, compare: str | None, **common: Unpack[Common]) -> None:
    """Do these two pictures show one person? Accuracy by LFW's ten folds, and TMR at FMR.

    The face nearest a picture's centre is taken, whatever its quality; image_a is the reference. A pair with a picture
    that gives no template counts as wrong. Fold k is the k-th tenth of the pairs of one person and the k-th tenth of
    the others, in the order of the file; its threshold is the best one for the other nine. A rate for which fewer than
    five errors are expected is not stated. The figures of the JSON are fractions.

    Nothing is written but the figures: templates live in memory, as long as this runs.
    """
    # Here, not above: help is not to wait for the engine.
    from overt_lab.evaluate.measuring import measure_verification

    _tell(measure_verification(_plan(common, compare), pairs_file), common)


@evaluate.command()
@click.option(
    "--labels", "labels_file", required=True, type=_TABLE, help="A CSV with the columns image and subject (who it is)."
)
@click.option(
    "--watchlist-size", "size", required=True, type=click.IntRange(min=1), help="How many people are on the list."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Draws who is on the list.")
@click.option(
    "--lists",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="More lists, drawn by the seeds that follow; their mean is told too, to compare kinds of score by.",
)
@_common
def identification(labels_file: Path, size: int, seed: int, lists: int, **common: Unpack[Common]) -> None:
    """Who of a watchlist is this, if anybody? TPIR at FPIR, with one reference and one picture.

    The list is drawn by the seed: first people with two or more pictures, at most 84 % of it, then others. The
    reference is a person's first picture; up to five more are searched for. Every picture of everybody else must not
    match. A probe counts as found if the best entry is the right one and reaches the threshold. Intervals are at 95 %,
    for other people like these, threshold included. A rate for which fewer than five errors are expected is not stated.

    Nothing is written but the figures: templates live in memory, as long as this runs.
    """
    from overt_lab.evaluate.measuring import measure_identification

    _tell(measure_identification(_plan(common), labels_file, size, seed, lists), common)


@evaluate.command()
@click.option(
    "--labels",
    "labels_file",
    required=True,
    type=_TABLE,
    help="A CSV with the column image, columns of groups, and subject; without it each picture is another person.",
)
@click.option("--by", required=True, metavar="COLUMN[,COLUMN]", help="The columns whose labels make the groups.")
@_common
def equity(labels_file: Path, by: str, **common: Unpack[Common]) -> None:
    """Does one threshold err equally often for everybody? Rates of each group, by ISO/IEC 19795-10.

    The threshold is that of the false-match rate over all pairs within the groups together. Groups are what your
    labels say: nobody's group is ever guessed. The verdict on each false-match rate is `no difference shown`,
    `difference shown` or `insufficient evidence`; the last also where a group has no false match at all, or too few
    pairs for a rate, and where a rate twice the others' could well have gone unseen.

    Nothing is written but the figures: templates live in memory, as long as this runs.
    """
    from overt_lab.evaluate.measuring import measure_equity

    columns = [name.strip() for name in by.split(",") if name.strip()]
    if not columns or len(set(columns)) < len(columns):
        raise click.BadParameter("give the names of one or more columns, each once", param_hint="--by")
    _tell(measure_equity(_plan(common), labels_file, columns), common)


@evaluate.command()
@click.option(
    "--labels", "labels_file", required=True, type=_TABLE, help="A CSV with the columns image and subject (who it is)."
)
@_common
def fusing(labels_file: Path, **common: Unpack[Common]) -> None:
    """What do several shots of a track, or several references of an entry, gain over one of each?

    Of people with three pictures or more, some stand for a track's shots or an entry's references. Rules that make one
    score of them are compared: at the threshold of one shot and one reference, and at thresholds of their own.
    Pictures of one person are less alike than a track's shots, so that real tracks gain less.

    Nothing is written but the figures: templates live in memory, as long as this runs.
    """
    from overt_lab.evaluate.measuring import measure_fusing

    _tell(measure_fusing(_plan(common), labels_file), common)


def _plan(common: Common, compare: str | None = None) -> Plan:
    from overt_lab.conditions import cores
    from overt_lab.evaluate.faces import EngineChoice
    from overt_lab.evaluate.measuring import Plan
    from overt_lab.evaluate.templates import Mirrored

    precisions = [one for one in (common["precision"], compare) if one]
    return Plan(
        images=common["images"],
        choices=tuple(EngineChoice(common["pack"], common["model_dir"], common["engine"], one) for one in precisions),
        workers=common["workers"] or cores(),
        levelled=common["level"],
        mirrored=Mirrored(common["mirrored"]),
        cohort=common["cohort"],
    )


def _tell(measured: Measured, common: Common) -> None:
    click.echo(measured.text)
    measured.write(common["json_file"], common["html_file"])
