"""The sightings of one camera: what waits for a second shot, the check of its pictures, and how it becomes evidence.

A face that was missed in the frame may be found in the scene. So before anything is sealed, its pictures are shown
to the detector once more. An alert waits for that; checked while they wait for their second shot, the pictures of
whoever is never confirmed would be checked in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from overt.ledger import FrameClass, TrackClass
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import Metric, SpanName, count, get_logger, observe, span

from overt_ingest.beside import Beside
from overt_ingest.domain.books import Fate
from overt_ingest.domain.faces import Probe
from overt_ingest.domain.sighting import MOST_SIGHTINGS, Exhibit, Sighting
from overt_ingest.domain.tracks import Track
from overt_ingest.ports import Finding, Outbox, Studio

log = get_logger(__name__)

CHECKS_AT_ONCE = 2
"""Of one camera. Each look of a check is a turn at detect, and other frames wait for their analysis meanwhile."""

SEEN_ALREADY = Fate(FrameClass.NO_MATCH, Reason.SETTLED)
"""Nothing is kept of a frame whose person has the alert, by another frame."""

_LOST_FRAME = Fate(FrameClass.EXPIRED, Reason.EVIDENCE_LOST)
_LOST_TRACK = Fate(TrackClass.EXPIRED, Reason.EVIDENCE_LOST)


class Sightings:
    """Owns every exhibit of its camera until the outbox has it. For the event loop's thread."""

    def __init__(
        self, *, studio: Studio, outbox: Outbox, beside: Beside, clock: Clock, labels: Mapping[str, str]
    ) -> None:
        self._studio = studio
        self._outbox = outbox
        self._beside = beside
        self._clock = clock
        self._labels = labels
        self._waiting: dict[Sighting, asyncio.TimerHandle] = {}
        self._checking = asyncio.Semaphore(CHECKS_AT_ONCE)

    def __len__(self) -> int:
        """Those that wait."""
        return len(self._waiting)

    def wait(self, exhibit: Exhibit, track: Track, probe: Probe, *, deadline: float) -> None:
        """For another agreeing shot, until `deadline` on the monotonic clock. The exhibit is ours."""
        while len(self._waiting) >= MOST_SIGHTINGS:
            next(iter(self._waiting)).destroy()
        track.sighting = sighting = Sighting(exhibit, probe, deadline=deadline, on_end=self._forget)
        left = max(0.0, deadline - self._clock.monotonic())
        self._waiting[sighting] = asyncio.get_running_loop().call_later(left, sighting.destroy)

    def seal(self, exhibit: Exhibit, track: Track, finding: Finding) -> None:
        """One alert for this track and entry, as soon as its pictures are checked. From here on the track is settled,
        whatever becomes of the evidence. Of an entry that it has alerted for nothing more is kept. The exhibit is
        ours."""
        track.settled = True
        if finding.verdict.entry_id in track.alerts:
            exhibit.close(SEEN_ALREADY)
            return
        track.alerts.add(finding.verdict.entry_id)
        self._beside.start(lambda: self._seal(exhibit, finding), step="seal", at_end=lambda: self._lose(exhibit))

    def _forget(self, sighting: Sighting) -> None:
        if timer := self._waiting.pop(sighting, None):
            timer.cancel()

    # Beside the camera's loop

    async def _seal(self, exhibit: Exhibit, finding: Finding) -> None:
        async with self._checking:
            began = self._clock.monotonic()
            with span(SpanName.SIGHTING_CHECK):
                exhibit.replace(await self._studio.check(exhibit.pictures))
        observe(Metric.SIGHTING_STEP, (self._clock.monotonic() - began) * 1e3, step="check", **self._labels)
        began = self._clock.monotonic()
        with span(SpanName.EVIDENCE_SEAL) as told:
            evidence = await self._studio.seal(exhibit.pictures, finding)
            told.set(bytes=len(evidence.sealed))
        observe(Metric.SIGHTING_STEP, (self._clock.monotonic() - began) * 1e3, step="seal", **self._labels)
        exhibit.sealed()
        self._outbox.post(evidence, exhibit)

    def _lose(self, exhibit: Exhibit) -> None:
        """If sealing ended and the pictures are still there, it failed."""
        if exhibit.holds_pictures:
            exhibit.close(_LOST_FRAME, _LOST_TRACK)
            log.error("evidence_lost", **self._labels)
            count(Metric.EVIDENCE_SENT, deployment=self._labels["deployment"], outcome="lost")
