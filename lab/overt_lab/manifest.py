"""A list's manifest on this side of REST: which rows can be sent at all, and which are sent together.

Rows are numbered as a spreadsheet shows them: the header is row 1. The gateway judges what a row says; here only what
it cannot see is judged: whether the picture is there, below the folder that was named.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from overt.errors import Fatal
from overt.reasons import Reason

from overt_lab.archive import COLUMNS, ListImage

MAX_IMAGE_BYTES = 8 * 1024 * 1024  # the gateway takes no larger picture
BATCH_IMAGES = 50
BATCH_BYTES = 32 * 1024 * 1024  # half of what the gateway takes in one body
_FORMULA = ("=", "+", "-", "@")
_MANDATORY = tuple(c for c in COLUMNS if c != "under_18")


@dataclass(frozen=True, slots=True)
class Row:
    """`fields` by column, stripped; every column is there. `fault`: why it cannot be taken apart."""

    number: int
    fields: Mapping[str, str] = field(repr=False)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A row whose picture is there, `size` bytes long."""

    row: Row
    picture: Path = field(repr=False)
    size: int

    def read(self) -> ListImage:
        """The row's `image` becomes a name that is good in any archive. A picture that went away is empty: the
        gateway refuses the row."""
        try:
            content = self.picture.read_bytes()
        except OSError:
            content = b""
        return ListImage({**self.row.fields, "image": f"row-{self.row.number}"}, content)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not on the list, and what a person can do about it."""

    row: Row
    reason: str
    message: str

    def as_cells(self) -> dict[str, Any]:
        return {
            "row": self.row.number,
            "image": _harmless(self.row.fields.get("image", "")),
            "subject_ref": _harmless(self.row.fields.get("subject_ref", "")),
            "reason": self.reason,
            "message": _harmless(self.message),
        }


@dataclass(frozen=True, slots=True)
class Alike:
    """A row whose entry is on the list and may be the same person as another entry there."""

    row: Row
    other_subject_ref: str = field(repr=False)
    other_entry_id: str = field(repr=False)
    cosine: float = field(repr=False)

    def __str__(self) -> str:
        return (
            f"row {self.row.number}, {self.row.fields['subject_ref']} and {self.other_subject_ref}: "
            f"cosine {self.cosine:.2f}"
        )

    def as_cells(self) -> dict[str, Any]:
        return {
            "row": self.row.number,
            "image": _harmless(self.row.fields.get("image", "")),
            "subject_ref": _harmless(self.row.fields.get("subject_ref", "")),
            "other_subject_ref": _harmless(self.other_subject_ref),
            "other_entry_id": self.other_entry_id,
            "cosine": f"{self.cosine:.4f}",
        }


def _harmless(cell: str) -> str:
    """A spreadsheet runs what begins like a formula; an apostrophe makes it text (OWASP, CSV injection)."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


REFUSED_COLUMNS = ("row", "image", "subject_ref", "reason", "message")
ALIKE_COLUMNS = ("row", "image", "subject_ref", "other_subject_ref", "other_entry_id", "cosine")


def read_manifest(path: Path) -> list[Row]:
    """Fatal, with what to do, if the table as a whole cannot be used. Empty rows are left out but counted."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.reader(file, strict=True)
            columns = [name.strip() for name in next(table, [])]
            _check_columns(path, columns)
            rows = [
                _row(number, columns, cells)
                for number, cells in enumerate(table, start=2)
                if any(cell.strip() for cell in cells)
            ]
    except OSError as error:
        raise Fatal(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Fatal(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise Fatal(f"{path} is not a CSV table with commas and double quotes ({error})") from error
    if not rows:
        raise Fatal(f"{path} has no rows")
    return rows


def _check_columns(path: Path, columns: list[str]) -> None:
    faults = []
    if missing := [c for c in _MANDATORY if c not in columns]:
        faults.append(f"lacks the columns {', '.join(missing)}")
    # Not passed over in silence: a misspelt under_18 would put a child on the list as an adult.
    if unknown := [c or "(no name)" for c in columns if c not in COLUMNS]:
        faults.append(f"has columns that are not known: {', '.join(unknown)}")
    if twice := sorted({c for c in columns if columns.count(c) > 1}):
        faults.append(f"has twice: {', '.join(twice)}")
    if faults:
        raise Fatal(f"{path} {' and '.join(faults)}; its columns are {', '.join(COLUMNS)}")


def _row(number: int, columns: list[str], cells: list[str]) -> Row:
    fields = {name: cell.strip() for name, cell in zip_longest(columns, cells[: len(columns)], fillvalue="")}
    if len(cells) == len(columns):
        return Row(number, fields)
    return Row(number, fields, f"it has {len(cells)} cells where the header has {len(columns)}")


def look_up(rows: Iterable[Row], images: Path) -> tuple[list[Found], list[Refused]]:
    """Which rows can be sent, and which not. Reads no picture."""
    found: list[Found] = []
    refused: list[Refused] = []
    folder = images.resolve()
    for row in rows:
        match _picture(row, folder):
            case Found() as good:
                found.append(good)
            case (reason, message):
                refused.append(Refused(row, reason.value, message))
    return found, refused


def _picture(row: Row, folder: Path) -> Found | tuple[Reason, str]:
    if row.fault:
        return Reason.BAD_FIELD, row.fault
    if not row.fields["image"]:
        return Reason.BAD_FIELD, "image is empty"
    try:
        picture = (folder / row.fields["image"]).resolve()
        if not picture.is_relative_to(folder):
            return Reason.UNSAFE_PATH, "image leads out of the folder of --images"
        if not picture.is_file():
            return Reason.MISSING_IMAGE, "there is no such file in the folder of --images"
        size = picture.stat().st_size
        with picture.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        what = error.strerror if isinstance(error, OSError) else "not a path"
        return Reason.MISSING_IMAGE, f"the file cannot be read ({what})"
    if not size:
        return Reason.MISSING_IMAGE, "the file is empty"
    if size > MAX_IMAGE_BYTES:
        return Reason.PICTURE_TOO_LARGE, "the picture is too large: 8 MB and 4096 x 4096 pixels at most"
    return Found(row, picture, size)


def batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Rows of one person stay together; beyond that a batch has at most BATCH_IMAGES rows and BATCH_BYTES."""
    people: dict[str, list[Found]] = {}
    for one in found:
        people.setdefault(one.row.fields["subject_ref"], []).append(one)
    batch: list[Found] = []
    size = 0
    for person in people.values():
        weight = sum(one.size for one in person)
        if batch and (len(batch) + len(person) > BATCH_IMAGES or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch = [*batch, *person]
        size += weight
    if batch:
        yield batch
