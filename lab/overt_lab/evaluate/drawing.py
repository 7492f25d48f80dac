"""Who is on the watchlist of an identification experiment, and who walks by. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from overt.errors import Fatal

Places = NDArray[np.int64]

MATED_SHARE = 0.84
"""Of the list, at most: people with two or more pictures, who are searched for. The others only make it long, so that
people with several pictures are left to walk by as well."""

PROBES_EACH = 5
"""Of one listed person, at most: a few people with hundreds of pictures are not to decide the figure."""


@dataclass(frozen=True, slots=True, repr=False)
class Drawn:
    """Places of pictures. `entries`: the reference of each entry. `mated`: probes of listed people, and `own`, the
    place in `entries` of each. `non_mated`: every picture of everybody who is not listed."""

    entries: Places
    mated: Places
    own: Places
    non_mated: Places

    def __repr__(self) -> str:
        return f"Drawn({len(self.entries)} entries, {len(self.mated)} mated, {len(self.non_mated)} non-mated)"


def draw(subjects: NDArray[np.int64], size: int, seed: int) -> Drawn:
    """A list of that size, drawn by that seed. `subjects`: int64[pictures], numbers from 0.

    First people with two or more pictures, up to MATED_SHARE of the list; then people with one. Where those do not
    suffice, further people with several, who are listed only: nobody looks for them. A person's first picture, in the
    order of the file, is the reference, the next PROBES_EACH are mated probes.

    Fatal if nobody would be left to walk by.
    """
    pictures = np.bincount(subjects)
    people = len(pictures)
    if size >= people:
        raise Fatal(
            f"--watchlist-size {size} is too much for {people} people: somebody must be left who is not on the list; "
            f"choose {max(1, people // 2)} or fewer"
        )
    random = np.random.default_rng(seed)
    several, single = (random.permutation(np.flatnonzero(of)) for of in (pictures >= 2, pictures == 1))
    searched = several[: int(MATED_SHARE * size)]
    fillers = np.concatenate([single, several[len(searched) :]])[: size - len(searched)]
    listed = np.concatenate([searched, fillers])

    order = np.argsort(subjects, kind="stable")
    first = np.concatenate([[0], np.cumsum(pictures)[:-1]])
    mated = [order[first[who] + 1 : first[who] + min(pictures[who], PROBES_EACH + 1)] for who in searched]
    away = np.ones(people, np.bool_)
    away[listed] = False
    return Drawn(
        entries=order[first[listed]],
        mated=np.concatenate([*mated, np.empty(0, np.int64)]).astype(np.int64),
        own=np.repeat(np.arange(len(searched)), [len(probes) for probes in mated]).astype(np.int64),
        non_mated=np.flatnonzero(away[subjects]),
    )
