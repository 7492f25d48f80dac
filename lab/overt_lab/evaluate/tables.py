"""Reads the CSV tables that evaluations begin with, and tells people which line cannot be used."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overt.errors import Fatal

from overt_lab.wording import counted


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """`cells`: of the columns asked for, without the blanks around them."""

    line: int
    cells: tuple[str, ...]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what can be wrong with a file as a whole into Fatal, for people."""
    try:
        yield
    except OSError as error:
        raise Fatal(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Fatal(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise Fatal(f"{path} is not a CSV table with commas and double quotes ({error})") from error


def header(path: Path) -> list[str]:
    """The names of the columns."""
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        return [name.strip() for name in next(csv.reader(file, strict=True), [])]


def rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Every row that is not empty. Fatal if a column is not there, or a row has a cell too many or too few."""
    names = header(path)
    if missing := [name for name in columns if name not in names]:
        which = "column" if len(missing) == 1 else "columns"
        raise Fatal(f"{path} lacks the {which} {', '.join(missing)}; its first line is {','.join(columns)}")
    wanted = [names.index(name) for name in columns]
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.reader(file, strict=True)
        next(table, None)
        for cells in table:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise Fatal(
                    f"{path}, line {table.line_num}: {counted(len(cells), 'cell', 'cells')} where the first line "
                    f"has {len(names)}"
                )
            yield Row(table.line_num, tuple(cells[i].strip() for i in wanted))


def picture_in(folder: Path, name: str, path: Path, line: int) -> Path:
    """The picture of that name. Fatal, with the line that names it, if it is not there."""
    if not name or not (folder / name).is_file():
        raise Fatal(f"{path}, line {line}: there is no picture {name or '(no name)'} in {folder}")
    return folder / name
