"""Reads `pairs.csv`: which two pictures are compared, and whether they show one person."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from overt.errors import Fatal

from overt_lab.wording import counted

COLUMNS = ("image_a", "image_b", "same")
_SAME = {"1": True, "0": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Pairs:
    """`images`: every picture once, in the order of the file. `first`, `second`: int64[pairs], places in `images`.
    `same`: bool[pairs]."""

    images: tuple[Path, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.same)

    def __repr__(self) -> str:
        return f"Pairs({len(self)} of {len(self.images)} pictures)"


def read_pairs(path: Path, folder: Path) -> Pairs:
    """Pictures are named relative to `folder`, and each must be there. Other columns than COLUMNS are passed over.

    Fatal, for people: the first line that cannot be used, and what is wrong with it.
    """
    places: dict[str, int] = {}
    rows: list[tuple[int, int, bool]] = []
    try:
        for line, first, second, same in _cells(path):
            for name in (first, second):
                if name not in places and not (folder / name).is_file():
                    raise Fatal(f"{path}, line {line}: there is no picture {name or '(no name)'} in {folder}")
            if same.lower() not in _SAME:
                raise Fatal(f"{path}, line {line}: `same` is 1 or 0, not {same!r}")
            a, b = (places.setdefault(name, len(places)) for name in (first, second))
            rows.append((a, b, _SAME[same.lower()]))
    except OSError as error:
        raise Fatal(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Fatal(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise Fatal(f"{path} is not a CSV table with commas and double quotes ({error})") from error
    if not rows:
        raise Fatal(f"{path} has no pairs")
    table = np.array(rows, np.int64)
    return Pairs(tuple(folder / name for name in places), table[:, 0], table[:, 1], table[:, 2].astype(np.bool_))


def _cells(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, then the cells of COLUMNS, of every row that is not empty."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.reader(file, strict=True)
        header = [name.strip() for name in next(table, [])]
        if missing := [name for name in COLUMNS if name not in header]:
            columns = "column" if len(missing) == 1 else "columns"
            raise Fatal(f"{path} lacks the {columns} {', '.join(missing)}; its first line is {','.join(COLUMNS)}")
        wanted = [header.index(name) for name in COLUMNS]
        for cells in table:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise Fatal(
                    f"{path}, line {table.line_num}: {counted(len(cells), 'cell', 'cells')} where the first line "
                    f"has {len(header)}"
                )
            first, second, same = (cells[i].strip() for i in wanted)
            yield table.line_num, first, second, same
