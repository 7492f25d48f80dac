"""Packs a watchlist for upload: a zip with manifest.csv and the pictures it names."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from overt.errors import Fatal

COLUMNS = (
    "image",
    "subject_ref",
    "category",
    "legal_basis",
    "image_source",
    "reason",
    "expires_at",
    "under_18",
)
PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class ListImage:
    """A manifest row and its picture."""

    row: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


def pack(images: Iterable[ListImage]) -> bytes:
    """The zip, in memory. Rows may share a picture; ValueError if two different ones have the same name."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    buffer = io.BytesIO()
    packed: dict[str, bytes] = {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for image in images:
            writer.writerow({column: image.row.get(column, "") for column in COLUMNS})
            name = image.row["image"]
            if name not in packed:
                packed[name] = image.content
                archive.writestr(name, image.content)
            elif packed[name] != image.content:
                raise ValueError("two different pictures have the same name")
        archive.writestr("manifest.csv", table.getvalue())
    return buffer.getvalue()


def demo_row(subject_ref: str, image: str) -> dict[str, str]:
    """A row with the mandatory fields filled in as what they are: a demonstration."""
    return {
        "image": image,
        "subject_ref": subject_ref,
        "category": "other",
        "legal_basis": "none: a demonstration",
        "image_source": "none: a demonstration",
        "reason": "demonstration",
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds"),
        "under_18": "false",
    }


def read_folder(folder: Path) -> list[ListImage]:
    """NAME.jpg|png, or NAME/*: several pictures of one person. Fatal if there is no picture at all."""
    if not folder.is_dir():
        raise Fatal(f"{folder} is not a folder: --watchlist wants one that holds NAME.jpg, NAME.png or NAME/*.jpg")
    found = []
    for name, path in _pictures(folder):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Fatal(f"{path} cannot be read: {error.strerror}") from error
        found.append(ListImage(demo_row(name, path.relative_to(folder).as_posix()), content))
    if not found:
        raise Fatal(f"{folder} holds no NAME.jpg, NAME.png or NAME/*.jpg")
    return found


def _pictures(folder: Path) -> Iterable[tuple[str, Path]]:
    for path in _visible(folder):
        if path.is_dir():
            yield from ((path.name, p) for p in _visible(path) if _is_picture(p))
        elif _is_picture(path):
            yield path.stem, path


def _visible(folder: Path) -> list[Path]:
    """Without what desktops leave beside pictures: `._NAME.jpg` would be somebody of its own."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES and path.is_file()
