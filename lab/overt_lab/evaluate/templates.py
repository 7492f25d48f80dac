"""Templates of many pictures: several threads, a bounded number of pictures in memory at a time, nothing on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from overt_lab.progress import progress
from overt_lab.wording import counted

A = TypeVar("A")
B = TypeVar("B")

Picture = NDArray[np.uint8]
Template = NDArray[np.float32]

_AHEAD = 4
"""Pictures given out to each thread before the oldest one's answer is waited for."""

_PAIRS_AT_ONCE = 100_000
"""Of which copies are made to compare them: 100 MB of templates with 128 numbers."""


class Mirrored(StrEnum):
    """Which templates are means of a face's and of its mirror image's."""

    NONE = "none"
    REFERENCES = "references"
    """As in use: enrolment does it, a passer-by's shot is taken as it is."""
    BOTH = "both"


class Made(NamedTuple):
    """A face's template as a shot of somebody who passes, and as a reference on a list: float32[length], unit
    length. `worth`: of the shot, 0..1, as detect ranks it."""

    shot: Template
    reference: Template
    worth: float = 1.0


class Enrols(Protocol):
    """Makes templates of `length` numbers. Safe from every thread."""

    @property
    def length(self) -> int: ...

    def made(self, picture: Picture) -> Made | None: ...


@dataclass(frozen=True, slots=True, repr=False)
class Templates:
    """`rows`: float32[pictures, length], unit length, NaN where there is none, as shots; `as_references`: the same
    pictures' as references, None where they are no different. Biometric data: memory only. `undecodable`: how many of
    the files were no pictures. `worth`: float64[pictures], None where nobody asked."""

    rows: NDArray[np.float32]
    undecodable: int = 0
    as_references: NDArray[np.float32] | None = None
    worth: NDArray[np.float64] | None = None

    @property
    def references(self) -> NDArray[np.float32]:
        return self.rows if self.as_references is None else self.as_references

    def __getitem__(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> Templates:
        """Those, without their number of undecodable files."""
        return Templates(
            self.rows[places],
            0,
            None if self.as_references is None else self.as_references[places],
            None if self.worth is None else self.worth[places],
        )

    def unmirrored(self) -> Templates | None:
        """With references that are no different from shots; None if they are not anyway."""
        return None if self.as_references is None else replace(self, as_references=None)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """bool[pictures]: which failed to enrol (FTE)."""
        return np.isnan(self.rows[:, 0])

    def cosines(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64[pairs], of references and shots at those places; NaN where one is missing."""
        return _cosines(self.references, self.rows, first, second)

    def cosines_to(self, others: Templates) -> NDArray[np.float64]:
        """float64: of each picture's shot here to its shot there, where both have one."""
        (places,) = np.nonzero(~(self.missing | others.missing))
        return _cosines(self.rows, others.rows, places, places)

    def __repr__(self) -> str:
        return f"Templates({len(self.rows)}, {int(self.missing.sum())} missing)"


def _cosines(
    rows: NDArray[np.float32], others: NDArray[np.float32], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    scores = np.empty(len(first))
    for at in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(at, at + _PAIRS_AT_ONCE)
        scores[part] = np.einsum("ij,ij->i", rows[first[part]], others[second[part]], dtype=np.float64)
    return scores


def enrol(
    images: Sequence[Path],
    enrollers: Sequence[Enrols],
    *,
    read: Callable[[Path], Picture | None],
    workers: int,
) -> list[Templates]:
    """One for each enroller, of all pictures, in their order. `read` gives None for what is no picture."""
    tables = [np.full((2, len(images), enroller.length), np.nan, np.float32) for enroller in enrollers]
    worth = np.ones((len(enrollers), len(images)))

    undecodable = 0

    def made(path: Path) -> list[Made | None] | None:
        picture = read(path)
        return None if picture is None else [enroller.made(picture) for enroller in enrollers]

    label = f"templates of {counted(len(images), 'picture', 'pictures')}"
    shown = progress(in_order(made, images, workers), label=label, length=len(images))
    for place, found in enumerate(shown):
        if found is None:
            undecodable += 1
            continue
        for number, of_both in enumerate(found):
            if of_both is not None:
                tables[number][:, place] = of_both.shot, of_both.reference
                worth[number, place] = of_both.worth
    return [
        Templates(shots, undecodable, None if np.array_equal(shots, references, equal_nan=True) else references, each)
        for (shots, references), each in zip(tables, worth, strict=True)
    ]


def in_order(work: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """What `work` gives for each item, in their order. Ends, and raises, without waiting for more than is running."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="enrol")
    waiting: deque[Future[B]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
