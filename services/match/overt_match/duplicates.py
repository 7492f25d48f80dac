"""Who may be on a list twice. Pure: told to people, a reason to refuse nobody."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from overt.ids import EntryId

from overt_match.domain import Batch, unit

NEAR_DUPLICATE = 0.55
"""Raw cosine of two references from which on they may be of one person. Of 2.7 million pairs of two people's references
(lfw_dev) four are that close, and they look like people with two names: at every 0.05 strangers are ten times rarer, so
that fewer than one was to be expected (tests/integration/lab/test_forecast_on_people.py)."""

_PAIRS_AT_ONCE = 4_000_000
"""16 MB of cosines."""


class NearDuplicate(NamedTuple):
    """`position`: of an entry in its batch. `entry_id`: the other one. `cosine`: of their most alike references."""

    position: int
    entry_id: EntryId
    cosine: float


def near_duplicates(batch: Batch, listed: Batch) -> tuple[NearDuplicate, ...]:
    """For each entry of `batch` the most alike of those listed and those before it in the batch, if it is that close;
    by position, at most one each. Blocks: a thousand new references take 0.2 s where 20,000 are listed."""
    new = unit(batch.templates)
    others = np.concatenate([unit(listed.templates), new]) if len(listed.templates) else new
    owners = [e.entry_id for entries in (listed.entries, batch.entries) for e in entries for _ in e.references]
    positions = np.array([p for p, entry in enumerate(batch.entries) for _ in entry.references], dtype=np.int64)
    best: dict[int, NearDuplicate] = {}
    step = max(1, _PAIRS_AT_ONCE // len(others))
    for at in range(0, len(new), step):
        of = positions[at : at + step]
        cosines = new[at : at + step] @ others.T
        # Itself and those after it are not meant.
        cosines[:, len(listed.templates) :][positions[None, :] >= of[:, None]] = -1
        likest = cosines.argmax(axis=1)
        found = cosines[np.arange(len(of)), likest]
        for row in np.flatnonzero(found >= NEAR_DUPLICATE).tolist():
            position, cosine = int(of[row]), float(found[row])
            if position not in best or cosine > best[position].cosine:
                best[position] = NearDuplicate(position, owners[int(likest[row])], cosine)
    return tuple(best[position] for position in sorted(best))
