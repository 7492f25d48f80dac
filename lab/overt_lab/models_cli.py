"""`overt models`: the model packs, their licences and digests, and the prepared graphs."""

from __future__ import annotations

from pathlib import Path

import click
from overt.errors import Fatal
from overt.models import Model, Pack, build, default_directory, folder_of, load_pack, pack_names, verify

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OVERT_MODEL_DIR",
    default=default_directory,
    show_default="$OVERT_MODEL_DIR, or ~/.cache/overt/models",
    help="Where the prepared packs are.",
)
_pack = click.argument("pack", default="open")


@click.group()
def models() -> None:
    """The models that find and compare faces.

    A PACK is the name of one that comes with Overt, or the path of a manifest (.toml).
    """


@models.command("list")
@_directory
def list_packs(directory: Path) -> None:
    """Shows every pack, its licences, and whether it is built."""
    for pack in map(load_pack, pack_names()):
        click.echo(f"{pack.name}: {pack.title} ({_state(pack, directory)})")
        _show(pack)


@models.command("build")
@_pack
@_directory
@click.option(
    "--from",
    "from_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder with model files that no installed package has.",
)
@click.option("--accept-licence", is_flag=True, help="You have read the pack's licence and accept it.")
def build_pack(pack: str, directory: Path, from_folder: Path | None, accept_licence: bool) -> None:
    """Prepares a pack's graphs, and puts right a damaged one. The result is the same on every machine."""
    found = load_pack(pack)
    click.echo(f"{found.name}: {found.title}")
    _show(found)

    def on_model(model: Model) -> None:
        steps = ", ".join(model.prepare) or "as it is"
        click.echo(f"preparing {model.file} from {model.source} ({steps})")

    prepared = build(found, directory, from_folder=from_folder, licence_accepted=accept_licence, on_model=on_model)
    click.echo(f"built in {prepared.folder}")


@models.command("verify")
@_pack
@_directory
def verify_pack(pack: str, directory: Path) -> None:
    """Recomputes every digest. Exit code 2 and the file's name when one is not what it should be."""
    prepared = verify(load_pack(pack), directory)
    for model in prepared.pack.models:
        click.echo(f"{prepared.folder / model.file}: as pinned")
    click.echo(f"{prepared.pack.name} is whole; model digest {prepared.digest}")


def _state(pack: Pack, directory: Path) -> str:
    if not folder_of(pack, directory).exists():
        if pack.acceptance_required:
            return f"not built here: overt models build {pack.name} --from FOLDER --accept-licence"
        return "not built here; detect builds it at its first start"
    try:
        return f"built in {verify(pack, directory).folder}"
    except Fatal:
        return f"DAMAGED in {directory}: overt models verify {pack.name}"


def _show(pack: Pack) -> None:
    click.echo(f"  model digest {pack.digest}  (templates are comparable only under the same one)")
    for model in pack.models:
        click.echo(f"  {model.task}: {model.name}, licence {model.licence}  ({model.attribution})")
        click.echo(f"    from {model.source}, sha256 {model.source.sha256}")
        click.echo(f"    prepared {model.file}, sha256 {model.sha256}")
