"""Lists as long as the longest in use: they load in seconds, and searching one stays quick."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from overt.api.match.v1 import match_pb2 as pb
from support.watchlists import DEPLOYMENT, like, unit

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("size", [2_000, 17_000])
async def test_a_long_list(site: Any, size: int) -> None:
    """The bounds are several times what was measured on 2 busy cores; the figures are printed (-s)."""
    first = await site.start()
    templates = unit(size, 1)
    began = time.monotonic()
    await site.active(first, templates)
    imported = time.monotonic() - began
    began = time.monotonic()
    await site.start()
    loaded = time.monotonic() - began
    took: list[float] = []
    for i in range(200):
        who = (i * 97) % size
        probes = (like(templates[who], 0.8, seed=i), like(templates[who], 0.7, seed=i + 1))
        began = time.perf_counter()
        reply = await site.search(*probes)
        took.append((time.perf_counter() - began) * 1000)
        assert reply.decision == pb.SearchReply.DECISION_AGREED
    p50, p99 = np.percentile(took, [50, 99])
    print(
        f"\n{size} entries: imported and sealed in {imported:.1f} s, loaded by another replica in {loaded:.1f} s; "
        f"a track of 2 shots over the bus: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    listed = await first.rpc.List(pb.ListRequest(deployment=DEPLOYMENT))
    assert len(listed.entries) == size
    assert loaded < 15
    assert p50 < 50
