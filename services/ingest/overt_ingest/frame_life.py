"""The life of a frame: `analyse -> search -> destroy`. Nothing else in Overt touches a passer-by's picture.

The frame's owner here destroys it in a `finally`. What may outlive it is a sighting (domain/sighting.py), cut
from it after everybody else was blocked out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from overt.errors import Rejected
from overt.ledger import FrameClass, TrackClass
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import Metric, SpanName, count, get_logger, observe, span

from overt_ingest.domain.books import Fate
from overt_ingest.domain.faces import Analysis, Away, Decision, FoundFace, Probe, Verdict
from overt_ingest.domain.frame import Frame
from overt_ingest.domain.sight import Senses
from overt_ingest.domain.sighting import LONGEST, MOST_SIGHTINGS, Exhibit, Sighting
from overt_ingest.domain.tracks import Track, Tracks
from overt_ingest.ports import Detector, DetectStream, Finding, Outbox, Searcher, Studio

log = get_logger(__name__)

CUT_SHORT = Fate(FrameClass.EXPIRED, Reason.CAMERA_CLOSED)
_LOST_FRAME = Fate(FrameClass.EXPIRED, Reason.EVIDENCE_LOST)
_LOST_TRACK = Fate(TrackClass.EXPIRED, Reason.EVIDENCE_LOST)


class FrameLife:
    """For one open camera; one frame at a time. Owns the camera's tracks and sightings."""

    def __init__(
        self,
        *,
        camera: str,
        deployment: str,
        detector: Detector,
        searcher: Searcher,
        studio: Studio,
        outbox: Outbox,
        tracks: Tracks,
        senses: Senses,
        clock: Clock,
    ) -> None:
        self._labels = {"deployment": deployment, "camera": camera}
        self._detector = detector
        self._searcher = searcher
        self._studio = studio
        self._outbox = outbox
        self._tracks = tracks
        self._senses = senses
        self._clock = clock
        self._sightings: dict[Sighting, asyncio.TimerHandle] = {}
        # A picture is decoded once, and not by two threads at a time.
        self._developing = asyncio.Lock()

    async def live(self, frame: Frame) -> None:
        """The frame is destroyed when this returns, is cancelled, or raises (which is a defect)."""
        fate = Fate(FrameClass.UNANALYSED, Reason.INTERNAL)
        try:
            with span(SpanName.FRAME, parent=frame.traceparent, **self._labels) as told:
                fate = await self._analyse_and_search(frame)
                told.set(fate=fate.kind, reason=fate.code or None)
        except asyncio.CancelledError:
            fate = CUT_SHORT
            raise
        finally:
            frame.destroy(fate)
            self._remember(fate)

    def notice_detect(self) -> None:
        """Ends the tracks that detect lost. Called whenever the link to detect changed, never during `live`."""
        stream = self._detector.current
        self._tracks.follow(None if stream is None else stream.stream)

    def close(self) -> None:
        """The camera is closed: nothing can be confirmed any more."""
        self._tracks.end_all(Fate(TrackClass.EXPIRED, Reason.CAMERA_CLOSED))

    @property
    def sightings(self) -> int:
        """Those that wait."""
        return len(self._sightings)

    async def _analyse_and_search(self, frame: Frame) -> Fate:
        self.notice_detect()
        stream = self._detector.current
        if stream is None:
            return Fate(FrameClass.UNANALYSED, Reason.DETECT_AWAY)
        began = self._clock.monotonic()
        try:
            with span(SpanName.FRAME_ANALYSE):
                analysis = await stream.analyse(frame, pending=self._tracks.pending, settled=self._tracks.settled)
        except Away as away:
            return Fate(FrameClass.UNANALYSED, away.reason)
        observe(Metric.FRAME_ANALYSED, (self._clock.monotonic() - began) * 1e3, **self._labels)
        if analysis.rejected:
            return Fate(FrameClass.REJECTED, analysis.rejected)
        self._tracks.observe(analysis.faces)
        judged = await _all(
            [self._judge(frame, analysis, face, stream) for face in analysis.faces if self._to_be_searched(face)]
        )
        self._tracks.end(analysis.ended_tracks)
        return next((fate for fate in judged if fate is not None), _unremarkable(analysis))

    def _to_be_searched(self, face: FoundFace) -> bool:
        return face.is_shot and not self._tracks[face.track].settled

    async def _judge(self, frame: Frame, analysis: Analysis, face: FoundFace, stream: DetectStream) -> Fate | None:
        """Searches one shot and does what the verdict says. The fate of the frame, if that decides it."""
        track = self._tracks[face.track]
        probe = Probe(face.template, frame.arrival.captured_at)
        before = track.sighting if track.sighting is not None and track.sighting.waits else None
        probes = [probe] if before is None else before.with_probe(probe)
        try:
            verdict = await self._search(stream, probes)
        except Away as away:
            self._senses.search_failed(self._clock.monotonic(), away.reason)
            track.note(Fate(TrackClass.UNANALYSED, away.reason))
            track.wants_shot = True
            return Fate(FrameClass.UNANALYSED, away.reason)
        self._senses.searched(self._clock.monotonic())
        track.wants_shot = False
        self._tracks.count_searched(track)
        if verdict.decision is Decision.NO_MATCH:
            track.note(Fate(TrackClass.NO_MATCH))
            if before is not None:
                before.destroy()
            return None
        if before is not None and not before.waits:
            # Its second ended while match was thinking: what could be shown is gone. The next shot is a new first.
            return None
        if before is None:
            return await self._begin(frame, analysis, face, track, probe, verdict)
        if verdict.decision is Decision.AGREED:
            await self._seal(before.take(), track, _finding(track, verdict, probes))
            return Fate(FrameClass.NO_MATCH, Reason.SETTLED)
        before.probes = probes
        return None

    async def _search(self, stream: DetectStream, probes: list[Probe]) -> Verdict:
        began = self._clock.monotonic()
        with span(SpanName.FRAME_SEARCH, probes=len(probes)) as told:
            verdict = await self._searcher.search(stream.model_digest, probes)
            told.set(decision=verdict.decision)
        observe(Metric.TRACK_SEARCHED, (self._clock.monotonic() - began) * 1e3, **self._labels)
        return verdict

    async def _begin(
        self, frame: Frame, analysis: Analysis, face: FoundFace, track: Track, probe: Probe, verdict: Verdict
    ) -> Fate | None:
        """Cuts what a sighting needs out of the frame: one that waits or, if match needs no more, evidence."""
        try:
            async with self._developing:
                with span(SpanName.SIGHTING, faces=len(analysis.faces)):
                    pictures = await self._studio.develop(frame.picture, analysis.faces, face)
        except Rejected as rejected:
            track.note(Fate(TrackClass.UNCONFIRMED))
            return Fate(FrameClass.REJECTED, rejected.reason)
        exhibit = Exhibit(pictures, frame=frame.hold(), track=track.hold(), on_sealed=frame.on_sealed)
        if verdict.decision is Decision.AGREED:
            await self._seal(exhibit, track, _finding(track, verdict, [probe]))
            return None
        deadline = frame.arrival.trusted_capture + LONGEST.total_seconds()
        self._wait_for_another(Sighting(exhibit, probe, deadline=deadline, on_end=self._forget), track)
        return None

    def _wait_for_another(self, sighting: Sighting, track: Track) -> None:
        while len(self._sightings) >= MOST_SIGHTINGS:
            next(iter(self._sightings)).destroy()
        track.sighting = sighting
        left = max(0.0, sighting.deadline - self._clock.monotonic())
        self._sightings[sighting] = asyncio.get_running_loop().call_later(left, sighting.destroy)

    def _forget(self, sighting: Sighting) -> None:
        if timer := self._sightings.pop(sighting, None):
            timer.cancel()

    async def _seal(self, exhibit: Exhibit, track: Track, finding: Finding) -> None:
        """One alert for this track and entry: from here on the track is settled, whatever becomes of the evidence."""
        track.settled = True
        try:
            with span(SpanName.EVIDENCE_SEAL) as told:
                evidence = await self._studio.seal(exhibit.pictures, finding)
                told.set(bytes=len(evidence.sealed))
        except BaseException as error:
            exhibit.close(_LOST_FRAME, _LOST_TRACK)
            log.error("evidence_lost", error=error, **self._labels)
            count(Metric.EVIDENCE_SENT, deployment=self._labels["deployment"], outcome="lost")
            if isinstance(error, Rejected):
                return
            raise
        exhibit.sealed()
        self._outbox.post(evidence, exhibit)

    def _remember(self, fate: Fate) -> None:
        now = self._clock.monotonic()
        if fate.kind in (FrameClass.NO_FACE, FrameClass.NO_MATCH):
            self._senses.analysed(now)
        elif fate != CUT_SHORT:
            self._senses.wasted(now, FrameClass(fate.kind), Reason(fate.code))


def _unremarkable(analysis: Analysis) -> Fate:
    return Fate(FrameClass.NO_MATCH if analysis.faces else FrameClass.NO_FACE)


def _finding(track: Track, verdict: Verdict, probes: Sequence[Probe]) -> Finding:
    """Captured when: by the agreeing shots, and by all of them if match does not say which agree."""
    agreeing = [probes[i].captured_at for i in verdict.agreeing if i < len(probes)]
    captured = agreeing or [probe.captured_at for probe in probes]
    return Finding(track.key, verdict, min(captured), max(captured))


async def _all(judging: Sequence[Coroutine[Any, Any, Fate | None]]) -> list[Fate | None]:
    """Side by side; all of them end before this does."""
    if len(judging) == 1:
        return [await judging[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one, name="judge a shot") for one in judging]
    return [task.result() for task in tasks]
