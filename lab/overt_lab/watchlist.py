"""`overt watchlist import`: a manifest and its pictures, with a bar, and tables of who was refused or looks alike."""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from overt.errors import Fatal, OvertError
from overt.permissions import Role
from overt.reasons import Reason

from overt_lab.archive import pack
from overt_lab.manifest import (
    ALIKE_COLUMNS,
    REFUSED_COLUMNS,
    Alike,
    Found,
    Refused,
    Row,
    batches,
    look_up,
    read_manifest,
)
from overt_lab.progress import progress
from overt_lab.reaching import reach, url_option
from overt_lab.rest import Gateway, RestError
from overt_lab.up import data_option
from overt_lab.wording import counted

# What the gateway answers when it cannot take an archive as a whole: the next one may be good.
_ABOUT_THE_BATCH = frozenset({Reason.BAD_ARCHIVE, Reason.BAD_MANIFEST, Reason.MESSAGE_TOO_LARGE, Reason.UNSAFE_PATH})
_OTHER_ROW = re.compile(r"^row (\d+) ")


@click.group()
def watchlist() -> None:
    """The list of a deployment."""


@watchlist.command(name="import")
@click.argument("deployment")
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that the manifest's `image` column is relative to.",
)
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where refused rows are written.  [default: MANIFEST with .refused.csv for .csv]",
)
@click.option(
    "--near-duplicates",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where entries that look alike are written.  [default: MANIFEST with .near_duplicates.csv for .csv]",
)
@url_option(Role.APPLICANT)
@data_option
def import_(
    deployment: str,
    manifest: Path,
    images: Path,
    refused: Path | None,
    near_duplicates: Path | None,
    url: str | None,
    data: Path | None,
) -> None:
    """Add the entries of MANIFEST.csv to the draft list of DEPLOYMENT.

    Columns: image, subject_ref, category, legal_basis, image_source, reason, expires_at (a time with its zone, like
    2026-05-01T18:00:00Z) and, optional, under_18 (true or false). Category is wanted_by_court, suspected_of_offence,
    breach_of_conditions, recall_to_prison, missing_at_risk, risk_of_harm or other.

    Several rows of one subject_ref are several reference pictures of one entry. Rows that cannot be used are
    written to a CSV with their reason; the others go in. Exit code 1 if any row was refused.

    Entries that may be the same person as another one on the list go in as well, are told, and are written to a
    second CSV: compare them, and take one off the list if so.
    """
    rows = read_manifest(manifest)
    gateway_url, token = reach(url, data, Role.APPLICANT)
    destination = refused or manifest.with_suffix(".refused.csv")
    alike_at = near_duplicates or manifest.with_suffix(".near_duplicates.csv")
    found, problems = look_up(rows, images)
    outcome = Imported(problems)
    try:
        asyncio.run(_import(gateway_url, token, deployment, found, outcome))
    except OvertError:
        click.echo(
            f"stopped: {outcome.sent} of {counted(len(found), 'row', 'rows')} had been sent. When that is mended, "
            "import the same manifest again: who is on the list already is refused as duplicate_subject, and stays",
            err=True,
        )
        raise
    finally:
        # Also when there is nothing to tell: what an earlier import left there is no longer so.
        if outcome.refused or destination.exists():
            write_refused(destination, outcome.refused)
        if outcome.alike or alike_at.exists():
            write_alike(alike_at, outcome.alike)
    if outcome.alike:
        click.echo(
            f"{counted(len(outcome.alike), 'entry', 'entries')} may be the same person as another one, see {alike_at}:"
        )
        for pair in outcome.alike[:5]:
            click.echo(f"  {pair}")
    if not outcome.refused:
        every = "the row" if len(rows) == 1 else f"all {len(rows)} rows"
        click.echo(f"{every} went in; the list has {counted(outcome.size, 'entry', 'entries')}")
        return
    click.echo(
        f"{len(rows) - len(outcome.refused)} of {counted(len(rows), 'row', 'rows')} went in; "
        f"the list has {counted(outcome.size, 'entry', 'entries')}"
    )
    click.echo(f"{len(outcome.refused)} refused, see {destination}:")
    for one in outcome.in_order()[:5]:
        click.echo(f"  row {one.row.number}, {one.row.fields['image']}: {one.message} [{one.reason}]")
    raise click.exceptions.Exit(1)


@dataclass(slots=True)
class Imported:
    """What came of it so far. `size` is the whole list's."""

    refused: list[Refused]
    alike: list[Alike] = field(default_factory=list)
    sent: int = 0
    size: int = 0

    def in_order(self) -> list[Refused]:
        return sorted(self.refused, key=lambda one: one.row.number)


def write_refused(path: Path, refused: Sequence[Refused]) -> None:
    """A CSV, by row number. Fatal if it cannot be written."""
    _write(path, REFUSED_COLUMNS, refused, "--refused")


def write_alike(path: Path, alike: Sequence[Alike]) -> None:
    """A CSV, by row number. Fatal if it cannot be written."""
    _write(path, ALIKE_COLUMNS, alike, "--near-duplicates")


def _write(path: Path, columns: Sequence[str], told: Sequence[Refused | Alike], option: str) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(one.as_cells() for one in sorted(told, key=lambda one: one.row.number))
    except OSError as error:
        raise Fatal(f"{path} cannot be written ({error.strerror}): say another one with {option} FILE") from error


async def _import(url: str, token: str, deployment: str, found: Sequence[Found], outcome: Imported) -> None:
    planned = list(batches(found))
    async with Gateway(url, lambda: token) as gateway:
        if not planned:
            outcome.size = await gateway.list_size(deployment)
        for batch in progress(planned, label=f"importing {counted(len(found), 'row', 'rows')}", length=len(planned)):
            archive = await asyncio.to_thread(_packed, batch)
            try:
                answer = await gateway.import_list(deployment, archive)
            except RestError as error:
                if error.reason not in _ABOUT_THE_BATCH:
                    raise
                outcome.refused += [Refused(one.row, error.reason, error.detail) for one in batch]
            else:
                outcome.size = int(answer["size"])
                outcome.refused += [refusal(one, batch) for one in answer["refused"]]
                outcome.alike += [alike(one, batch) for one in answer.get("near_duplicates", ())]
            outcome.sent += len(batch)


def _packed(batch: Sequence[Found]) -> bytes:
    return pack(one.read() for one in batch)


def refusal(told: Mapping[str, Any], batch: Sequence[Found]) -> Refused:
    """The gateway counts rows within the batch, from 2 as we do; people know the rows of their own manifest."""

    def row(number: str | int) -> Row:
        return batch[int(number) - 2].row

    message = _OTHER_ROW.sub(lambda found: f"row {row(found[1]).number} ", told["message"])
    return Refused(row(told["row"]), told["reason"], message)


def alike(told: Mapping[str, Any], batch: Sequence[Found]) -> Alike:
    """Likewise."""
    row = batch[int(told["row"]) - 2].row
    return Alike(row, told["other_subject_ref"], told["other_entry_id"], float(told["cosine"]))
