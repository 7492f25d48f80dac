"""The manifest of a list: which picture is of whom, and why they are on the list.

Pure: a table in, rows and refusals out. Rows are numbered as a spreadsheet shows them: the header is row 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from overt.categories import Category
from overt.errors import Rejected
from overt.reasons import Reason

NAME = "manifest.csv"
REQUIRED = ("image", "subject_ref", "category", "legal_basis", "image_source", "reason", "expires_at")
OPTIONAL = ("under_18",)
MAX_ROWS = 2000
MAX_BYTES = 16 * 1024 * 1024
"""MAX_ROWS rows with every cell full take 4 MB, and 13 MB in a script that needs three bytes a character."""
MAX_REFERENCES = 8
"""Reference pictures of one entry, as match takes them."""
_MAX_SUBJECT = 100
_MAX_TEXT = 500
_MAX_LINE = 16 * 1024
"""Four times a row with every cell full. Without it one row could be millions of empty cells."""
_TRUTHS = {"": False, "false": False, "no": False, "0": False, "true": True, "yes": True, "1": True}


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of one person."""

    number: int
    image: str = field(repr=False)
    subject_ref: str = field(repr=False)
    category: Category
    legal_basis: str = field(repr=False)
    image_source: str = field(repr=False)
    reason: str = field(repr=False)
    expires_at: datetime
    under_18: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that does not go in, and what a person can do about it."""

    row: int
    image: str = field(repr=False)
    subject_ref: str = field(repr=False)
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Person:
    """All rows of one subject: one entry. Text comes from the first row; sources are joined."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def image_source(self) -> str:
        return "; ".join(dict.fromkeys(row.image_source for row in self.rows))


def find(files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """(folder with its slash, content) of the one manifest, at the top or in the folder that was packed."""
    found = [name for name in files if name == NAME or (name.endswith("/" + NAME) and name.count("/") == 1)]
    if len(found) != 1:
        raise _bad(f"the archive needs one {NAME}" + (", not several" if found else ""))
    return found[0].removesuffix(NAME), files[found[0]]


def parse(content: bytes, *, now: datetime) -> tuple[list[Row], list[Refusal]]:
    """Good rows and refused ones. Rejected(BAD_MANIFEST) if the table as a whole cannot be used. Blocks for seconds
    on the worst table there is (call it in a thread)."""
    if len(content) > MAX_BYTES:
        raise _bad(
            f"{NAME} is larger than {MAX_BYTES // (1024 * 1024)} MB: it holds one row a picture, and no pictures"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(f"{NAME} is not UTF-8 text: save it as CSV in UTF-8") from None
    rows: list[Row] = []
    refused: list[Refusal] = []
    try:
        table = csv.reader(_lines(text), strict=True)
        columns = _columns(next(table, []))
        for number, cells in enumerate(table, start=2):
            if number > MAX_ROWS + 1:
                raise _bad(f"{NAME} has more than {MAX_ROWS} rows")
            if not any(cell.strip() for cell in cells):
                continue
            taken = _row(number, columns, cells, now)
            if isinstance(taken, Row):
                rows.append(taken)
            else:
                refused.append(taken)
    except csv.Error:
        raise _bad(f"{NAME} is not a CSV table with commas and double quotes") from None
    if not rows and not refused:
        raise _bad(f"{NAME} has no rows")
    return rows, refused


def _lines(text: str) -> Iterator[str]:
    """With their ends, which may stand inside a quoted cell."""
    table = io.StringIO(text, newline="")
    while line := table.readline(_MAX_LINE + 1):
        if len(line) > _MAX_LINE:
            raise _bad(f"{NAME} has a line of more than {_MAX_LINE} characters")
        yield line


def people(rows: Iterable[Row]) -> tuple[list[Person], list[Refusal]]:
    """Rows of the same subject_ref together. A row that says something else about them is refused."""
    found: dict[str, Person] = {}
    refused: list[Refusal] = []
    for row in rows:
        known = found.get(row.subject_ref)
        if known is None:
            found[row.subject_ref] = Person((row,))
            continue
        different = _difference(known.first, row)
        if different:
            message = f"row {known.first.number} gives the same subject_ref another {different}"
            refused.append(_refusal(row, Reason.DUPLICATE_SUBJECT, message))
        elif len(known.rows) >= MAX_REFERENCES:
            message = f"an entry has at most {MAX_REFERENCES} pictures"
            refused.append(_refusal(row, Reason.BAD_FIELD, message))
        else:
            found[row.subject_ref] = replace(known, rows=(*known.rows, row))
    return list(found.values()), refused


def _difference(first: Row, other: Row) -> str:
    for name in ("category", "legal_basis", "reason", "expires_at", "under_18"):
        if getattr(first, name) != getattr(other, name):
            return name
    return ""


def _refusal(row: Row, reason: Reason, message: str) -> Refusal:
    return Refusal(row.number, row.image, row.subject_ref, reason, message)


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    faults = []
    if missing := [name for name in REQUIRED if name not in columns]:
        faults.append(f"lacks {', '.join(missing)}")
    if unknown := [name[:40] for name in columns if name not in (*REQUIRED, *OPTIONAL)]:
        faults.append(f"has columns that are not known: {', '.join(unknown[:5]) or 'one without a name'}")
    if len(set(columns)) != len(columns):
        faults.append("has a column twice")
    if faults:
        raise _bad(f"{NAME} {' and '.join(faults)}; its columns are {', '.join((*REQUIRED, *OPTIONAL))}")
    return columns


def _row(number: int, columns: list[str], cells: list[str], now: datetime) -> Row | Refusal:
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
    image, subject = values.get("image", "")[:_MAX_TEXT], values.get("subject_ref", "")[:_MAX_SUBJECT]

    def refuse(reason: Reason, message: str) -> Refusal:
        return Refusal(number, image, subject, reason, message)

    if len(cells) != len(columns):
        return refuse(Reason.BAD_FIELD, f"it has {len(cells)} cells where the header has {len(columns)}")
    for name in REQUIRED:
        if not values[name]:
            return refuse(Reason.BAD_FIELD, f"{name} is empty")
    for name, value in values.items():
        limit = _MAX_SUBJECT if name == "subject_ref" else _MAX_TEXT
        if len(value) > limit or not value.isprintable():
            return refuse(Reason.BAD_FIELD, f"{name} is at most {limit} printable characters on one line")
    try:
        category = Category(values["category"])
    except ValueError:
        known = ", ".join(category.value for category in Category)
        return refuse(Reason.UNKNOWN_CATEGORY, f"category is one of {known}")
    expires_at = _time(values["expires_at"])
    if expires_at is None:
        return refuse(Reason.BAD_FIELD, "expires_at is a time with its zone, like 2026-05-01T18:00:00Z")
    if expires_at <= now:
        return refuse(Reason.EXPIRED, "expires_at is in the past")
    under_18 = _TRUTHS.get(values.get("under_18", "").lower())
    if under_18 is None:
        return refuse(Reason.BAD_FIELD, "under_18 is true or false")
    return Row(
        number=number,
        image=image,
        subject_ref=subject,
        category=category,
        legal_basis=values["legal_basis"],
        image_source=values["image_source"],
        reason=values["reason"],
        expires_at=expires_at,
        under_18=under_18,
    )


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        # Converted here: the last hours of the year 9999 exist west of Greenwich only, and would fail later on.
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _bad(what: str) -> Rejected:
    return Rejected(Reason.BAD_MANIFEST, what)
