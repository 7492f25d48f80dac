"""Reads `pairs.csv`: which two pictures are compared, and whether they show one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from overt.errors import Fatal

from overt_lab.evaluate.tables import picture_in, rows

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
    found: list[tuple[int, int, bool]] = []
    for row in rows(path, COLUMNS):
        first, second, same = row.cells
        for name in (first, second):
            if name not in places:
                picture_in(folder, name, path, row.line)
        if same.lower() not in _SAME:
            raise Fatal(f"{path}, line {row.line}: `same` is 1 or 0, not {same!r}")
        a, b = (places.setdefault(name, len(places)) for name in (first, second))
        found.append((a, b, _SAME[same.lower()]))
    if not found:
        raise Fatal(f"{path} has no pairs")
    table = np.array(found, np.int64)
    return Pairs(tuple(folder / name for name in places), table[:, 0], table[:, 1], table[:, 2].astype(np.bool_))
