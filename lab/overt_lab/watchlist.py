"""`overt watchlist import`: a manifest and its pictures, with a bar, and a CSV of what was refused."""

from __future__ import annotations

import asyncio
import csv
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from overt.auth import TokenIssuer
from overt.errors import Fatal
from overt.permissions import Role

from overt_lab.archive import COLUMNS, ListImage, pack
from overt_lab.machine import state_home
from overt_lab.progress import progress
from overt_lab.rest import Gateway
from overt_lab.up import data_option, find_running

BATCH_IMAGES = 50
BATCH_BYTES = 32 * 1024 * 1024  # half of what the gateway takes in one body
_MANDATORY = tuple(c for c in COLUMNS if c != "under_18")


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
@click.option("--refused", type=click.Path(dir_okay=False, path_type=Path), help="[default: MANIFEST.refused.csv]")
@click.option("--url", default=None, help="The gateway; with OVERT_TOKEN in the environment.  [default: overt up's]")
@data_option
def import_(
    deployment: str, manifest: Path, images: Path, refused: Path | None, url: str | None, data: Path | None
) -> None:
    """Add the entries of MANIFEST.csv to the draft list of DEPLOYMENT.

    Columns: image, subject_ref, category, legal_basis, image_source, reason, expires_at (ISO 8601), under_18.
    Several rows of one subject_ref are several reference pictures of one entry. Rows that cannot be used are
    written to a CSV with their reason; the others go in. Exit code 1 if any row was refused.
    """
    rows = read_manifest(manifest)
    gateway_url, token = _where(url, data)
    destination = refused or manifest.with_suffix(".refused.csv")
    problems, size = asyncio.run(_import(gateway_url, token, deployment, rows, images))
    if problems:
        write_refused(destination, problems)
        click.echo(f"{len(rows) - len(problems)} of {len(rows)} rows went in; the list has {size} entries")
        click.echo(f"{len(problems)} refused, see {destination}:")
        for problem in problems[:5]:
            click.echo(f"  row {problem['row']}, {problem['image']}: {problem['message']} [{problem['reason']}]")
        raise click.exceptions.Exit(1)
    click.echo(f"all {len(rows)} rows went in; the list has {size} entries")


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Rows with their number (the header is row 1) under `row`. Fatal names every column that is missing."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in _MANDATORY if c not in (reader.fieldnames or ())]
            if missing:
                raise Fatal(f"{path} lacks the columns {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
            rows = [{**row, "row": str(number)} for number, row in enumerate(reader, start=2)]
    except UnicodeDecodeError as error:
        raise Fatal(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from error
    if not rows:
        raise Fatal(f"{path} has no rows")
    return rows


def write_refused(path: Path, problems: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("row", "image", "subject_ref", "reason", "message"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(problems)


def batches(rows: list[dict[str, str]], images: Path) -> Iterator[tuple[list[dict[str, str]], list[ListImage]]]:
    """Rows of one person stay together; a batch ends at BATCH_IMAGES or BATCH_BYTES."""
    people: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        people.setdefault(row["subject_ref"], []).append(row)
    taken: list[dict[str, str]] = []
    packed: list[ListImage] = []
    size = 0
    for person in people.values():
        pictures = [ListImage(row, _read(images, row["image"])) for row in person]
        weight = sum(len(p.content) for p in pictures)
        if taken and (len(taken) + len(person) > BATCH_IMAGES or size + weight > BATCH_BYTES):
            yield taken, packed
            taken, packed, size = [], [], 0
        taken.extend(person)
        packed.extend(pictures)
        size += weight
    if taken:
        yield taken, packed


def _read(folder: Path, name: str) -> bytes:
    """Empty if it is not there or not below the folder: the gateway refuses the row with a reason."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return b""
    return path.read_bytes()


async def _import(
    url: str, token: str, deployment: str, rows: list[dict[str, str]], images: Path
) -> tuple[list[dict[str, Any]], int]:
    problems: list[dict[str, Any]] = []
    size = 0
    count = max(1, -(-len(rows) // BATCH_IMAGES))
    async with Gateway(url, lambda: token) as gateway:
        for taken, packed in progress(batches(rows, images), label=f"importing {len(rows)} rows", length=count):
            answer = await gateway.import_list(deployment, pack(packed))
            size = int(answer["size"])
            for problem in answer["refused"]:
                # The gateway counts rows within the batch, from 2 as we do.
                original = taken[int(problem["row"]) - 2]
                problems.append({**problem, "row": original["row"]})
    return sorted(problems, key=lambda p: int(p["row"])), size


def _where(url: str | None, data: Path | None) -> tuple[str, str]:
    token = os.environ.get("OVERT_TOKEN")
    if url:
        if not token:
            raise Fatal("--url needs a token of role applicant in the environment variable OVERT_TOKEN")
        return url, token
    running = find_running(data or state_home())
    issuer = TokenIssuer(running.issuer_key.read_bytes())
    fresh = token or issuer.issue(Role.APPLICANT, subject="applicant", lifetime=timedelta(hours=1))
    return running.gateway_url, fresh
