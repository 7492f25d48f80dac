"""The references most like a probe, with the scores that are decided by: raw cosines or, against a cohort, normalised.

Of a probe the SHORTLIST best raw cosines are fetched, and with a cohort scored anew. Its statistics are made here, of
all probes in one product, and go with the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from overt.scoring import normalise

from overt_match.domain import Templates, unit
from overt_match.loading import LoadedList

Found = Sequence[tuple[int, float]]
"""References found for a probe, best first: the row in the index, and the score."""


def scored(loaded: LoadedList, probes: Templates) -> Sequence[Found]:
    """What is most like each probe. Blocks. RuntimeError if the index is closed.

    With a cohort of 1,000, for eight probes, it takes half a millisecond more than the search alone.
    """
    assert loaded.index is not None
    found = loaded.index.search(probes)
    counts = [len(hits) for hits in found]
    if loaded.cohort is None or loaded.statistics is None or not any(counts):
        return found
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(found)), np.float64, 2 * sum(counts)).reshape(-1, 2)
    rows = flat[:, 0].astype(np.intp)
    whose = np.repeat(np.arange(len(found)), counts)
    of_probes = loaded.cohort.statistics(unit(probes))
    scores = normalise(flat[:, 1], of_probes[whose], loaded.statistics[rows], loaded.cohort.normalisation)
    # Probe by probe; equals stay in the order of their cosines.
    order = np.lexsort((-scores, whose))
    both = list(zip(rows[order].tolist(), scores[order].tolist(), strict=True))
    ends = np.cumsum(counts).tolist()
    return [both[end - count : end] for end, count in zip(ends, counts, strict=True)]
