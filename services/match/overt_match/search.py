"""Answers for a track: a function of its probes and the list in force. Nothing of a probe outlives the call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from overt.errors import Rejected
from overt.ids import EntryId
from overt.reasons import Reason
from overt.runtime import Clock
from overt.scoring import Candidate, ProbeScores, Verdict, VerdictKind, decide
from overt.telemetry import Metric, observe

from overt_match.domain import Entry, Track
from overt_match.in_force import InForce, ListsInForce
from overt_match.ports import Hit


@dataclass(frozen=True, slots=True)
class Answer:
    """`entry`, its picture that is most like the agreeing probes, and the key to seal both to: AGREED only."""

    verdict: Verdict
    revision: int
    threshold: float
    sealing_public_key: bytes = field(repr=False)
    entry: Entry | None = field(default=None, repr=False)
    reference_jpeg: bytes = field(default=b"", repr=False)


class Search:
    """The use case. Rejected with the reason when this replica will not answer."""

    def __init__(self, *, lists: ListsInForce, clock: Clock) -> None:
        self._lists = lists
        self._clock = clock

    async def __call__(self, track: Track) -> Answer:
        began = time.perf_counter()
        asked = self._lists.searchable(track.deployment_id)
        if track.model_digest != asked.head.model_digest:
            raise Rejected(Reason.MODEL_MISMATCH, "the list was made with another model")
        found = await self._found(track, asked)
        # Again: a removal or an end may have come in while the thread was searching.
        now_in_force = self._lists.searchable(track.deployment_id)
        answer = self._decided(track, found, asked, now_in_force)
        observe(Metric.SEARCH_TOOK, (time.perf_counter() - began) * 1000)
        return answer

    async def _found(self, track: Track, asked: InForce) -> list[list[Hit]]:
        assert asked.loaded.index is not None
        probes = np.stack([p.template for p in track.probes])
        if asked.loaded.owners and probes.shape[1] != asked.loaded.template_length:
            raise Rejected(Reason.BAD_MESSAGE, "the probes have not the length of the list's templates")
        try:
            return await asyncio.to_thread(asked.loaded.index.search, probes)
        except RuntimeError:
            raise Rejected(Reason.LIST_NOT_READY, "the list was closed meanwhile") from None

    def _decided(self, track: Track, found: Sequence[Sequence[Hit]], asked: InForce, in_force: InForce) -> Answer:
        threshold = in_force.deployment.threshold
        now = self._clock.now()
        best: list[dict[EntryId, Hit]] = []
        for hits in found:
            of_probe: dict[EntryId, Hit] = {}
            for hit in hits:
                owner = asked.loaded.owners[hit.ordinal].entry_id
                entry = asked.loaded.entries.get(owner)
                if entry is not None and owner not in in_force.removed and entry.in_force(now):
                    # Hits come best first.
                    of_probe.setdefault(owner, hit)
            best.append(of_probe)
        verdict = decide(
            [
                ProbeScores(probe.captured_at, [Candidate(i, hit.cosine) for i, hit in of_probe.items()])
                for probe, of_probe in zip(track.probes, best, strict=True)
            ],
            threshold=threshold,
        )
        revision, key = in_force.head.revision, in_force.deployment.sealing_public_key
        if verdict.kind is not VerdictKind.AGREED:
            return Answer(verdict, revision, threshold, key)
        agreed = EntryId(verdict.entry_id or "")
        likest = max((best[i][agreed] for i in verdict.agreeing), key=lambda hit: hit.cosine)
        entry = asked.loaded.entries[agreed]
        picture = entry.references[asked.loaded.owners[likest.ordinal].reference].jpeg
        return Answer(verdict, revision, threshold, key, entry, picture)
