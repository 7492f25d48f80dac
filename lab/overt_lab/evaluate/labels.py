"""Reads `labels.csv`: whom each picture shows, and, for equity, which group that person belongs to.

Groups come from these labels and from nowhere else: nothing of Overt guesses anybody's group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from overt.errors import Fatal

from overt_lab.evaluate.tables import header, picture_in, rows

IMAGE, SUBJECT = "image", "subject"


@dataclass(frozen=True, slots=True, repr=False)
class Labels:
    """`images`: in the order of the file. `subjects`: int64[pictures], the number of the person, by first appearance.
    `groups`: int64[pictures], places in `group_names`. `named`: False where there was no column `subject`, and every
    picture is taken for a person of its own. `left_out`: rows without a label of the group."""

    images: tuple[Path, ...]
    subjects: NDArray[np.int64]
    groups: NDArray[np.int64]
    group_names: tuple[str, ...]
    named: bool
    left_out: int

    @property
    def people(self) -> int:
        return int(self.subjects.max()) + 1

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Labels({len(self)} pictures, {self.people} people, {len(self.group_names)} groups)"


def read_labels(path: Path, folder: Path, by: Sequence[str] = (), *, subject_needed: bool = True) -> Labels:
    """Pictures are named relative to `folder`; each must be there, and only once. Columns other than `image`,
    `subject` and those of `by` are passed over. A group is named by its labels, as in `white, male`.

    Fatal, for people: the first line that cannot be used, and what is wrong with it.
    """
    named = subject_needed or SUBJECT in header(path)
    columns = [IMAGE, *([SUBJECT] if named else []), *by]
    lines: dict[str, int] = {}
    images, subjects, groups = [], [], []
    people: dict[str, int] = {}
    places: dict[str, int] = {}
    left_out = 0
    for row in rows(path, columns):
        name, *labels = row.cells
        subject = labels.pop(0) if named else name
        if name in lines:
            raise Fatal(f"{path}, line {row.line}: the picture {name} is on line {lines[name]} already")
        picture = picture_in(folder, name, path, row.line)
        if not subject:
            raise Fatal(f"{path}, line {row.line}: `subject` is empty: give every person a name or number")
        lines[name] = row.line
        if not all(labels):
            left_out += 1
            continue
        images.append(picture)
        subjects.append(people.setdefault(subject, len(people)))
        groups.append(places.setdefault(", ".join(labels), len(places)))
    if not images:
        raise Fatal(f"{path} has no pictures" + (f" with labels of {', '.join(by)}" if left_out else ""))
    return _sorted_groups(images, subjects, groups, list(places), named, left_out)


def _sorted_groups(
    images: list[Path], subjects: list[int], groups: list[int], names: list[str], named: bool, left_out: int
) -> Labels:
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return Labels(
        tuple(images),
        np.array(subjects, np.int64),
        rank[np.array(groups, np.int64)],
        tuple(names[i] for i in order),
        named,
        left_out,
    )
