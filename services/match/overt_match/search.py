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
from overt.scoring import (
    MARGIN,
    UNDER_18_ABOVE,
    Candidate,
    ProbeScores,
    Under18,
    Verdict,
    VerdictKind,
    decide,
    margin_between,
)
from overt.telemetry import Metric, observe

from overt_match.domain import Deployment, Entry, Track
from overt_match.in_force import InForce, ListsInForce
from overt_match.rescoring import Found, scored


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry, and its picture that is most like the agreeing probes."""

    entry: Entry = field(repr=False)
    reference_jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """`threshold`: that held. With AGREED only: whom it agrees with and the `rival` that is about as like, to be sealed
    to the key."""

    verdict: Verdict
    revision: int
    threshold: float
    sealing_public_key: bytes = field(repr=False)
    agreed: Shown | None = field(default=None, repr=False)
    rival: Shown | None = field(default=None, repr=False)


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

    async def _found(self, track: Track, asked: InForce) -> Sequence[Found]:
        probes = np.stack([p.template for p in track.probes])
        if asked.loaded.owners and probes.shape[1] != asked.loaded.template_length:
            raise Rejected(Reason.BAD_MESSAGE, "the probes have not the length of the list's templates")
        try:
            return await asyncio.to_thread(scored, asked.loaded, probes)
        except RuntimeError:
            raise Rejected(Reason.LIST_NOT_READY, "the list was closed meanwhile") from None

    def _decided(self, track: Track, found: Sequence[Found], asked: InForce, in_force: InForce) -> Answer:
        now = self._clock.now()
        best: list[dict[EntryId, tuple[int, float]]] = []
        for hits in found:
            of_probe: dict[EntryId, tuple[int, float]] = {}
            for row, score in hits:
                owner = asked.loaded.owners[row].entry_id
                entry = asked.loaded.entries.get(owner)
                if entry is not None and owner not in in_force.removed and entry.in_force(now):
                    # Hits come best first.
                    of_probe.setdefault(owner, (row, score))
            best.append(of_probe)
        probes = [
            ProbeScores(probe.captured_at, [Candidate(i, score) for i, (_, score) in of_probe.items()])
            for probe, of_probe in zip(track.probes, best, strict=True)
        ]
        verdict = _verdict(probes, in_force.deployment, asked)
        revision, deployment = in_force.head.revision, in_force.deployment
        if verdict.kind is not VerdictKind.AGREED:
            return Answer(verdict, revision, deployment.threshold, deployment.sealing_public_key)

        def shown(entry_id: str | None) -> Shown | None:
            if entry_id is None:
                return None
            row, _ = max((best[i][EntryId(entry_id)] for i in verdict.agreeing), key=lambda hit: hit[1])
            entry, owner = asked.loaded.entries[EntryId(entry_id)], asked.loaded.owners[row]
            return Shown(entry, entry.references[owner.reference].jpeg)

        agreed = shown(verdict.entry_id)
        held = deployment.threshold
        if agreed is not None and agreed.entry.under_18:
            held = max(held, _strict(deployment, asked))
        return Answer(verdict, revision, held, deployment.sealing_public_key, agreed, shown(verdict.rival))


def _verdict(probes: Sequence[ProbeScores], deployment: Deployment, asked: InForce) -> Verdict:
    """The whole rule, on the scale of the scores: cosines or, with a calibration, normalised ones."""
    entries, calibrated = asked.loaded.entries, asked.loaded.cohort is not None
    young = {i for probe in probes for i, _ in probe.candidates if entries[EntryId(i)].under_18}
    strict = _strict(deployment, asked)
    return decide(
        probes,
        threshold=deployment.threshold,
        margin=margin_between(deployment.threshold, strict) if calibrated else MARGIN,
        under_18=Under18(young, strict),
        uncalibrated=not calibrated,
    )


def _strict(deployment: Deployment, asked: InForce) -> float:
    """The threshold of entries under 18."""
    calibrated = asked.loaded.cohort is not None
    return deployment.under_18_threshold if calibrated else deployment.threshold + UNDER_18_ABOVE
