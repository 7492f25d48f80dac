"""The life of a frame: `analyse -> search -> destroy`. Nothing else in Overt touches a passer-by's picture.

The frame's owner here destroys it in a `finally`. What may outlive it is a sighting (domain/sighting.py), cut
from it after everybody else was blocked out. The next frame's analysis begins when the last one's is back; what
that one leaves to be judged goes on beside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any
from weakref import WeakKeyDictionary

from overt.errors import Rejected
from overt.ledger import FrameClass, TrackClass
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import Metric, SpanName, observe, span

from overt_ingest.beside import Beside
from overt_ingest.domain.books import Fate
from overt_ingest.domain.faces import Analysis, Away, Decision, FoundFace, Probe, Verdict
from overt_ingest.domain.frame import Frame
from overt_ingest.domain.sight import Senses
from overt_ingest.domain.sighting import LONGEST, Exhibit
from overt_ingest.domain.tracks import Track, Tracks
from overt_ingest.ports import Detector, DetectStream, Finding, Outbox, Searcher, Studio
from overt_ingest.sightings import SEEN_ALREADY, Sightings

CUT_SHORT = Fate(FrameClass.EXPIRED, Reason.CAMERA_CLOSED)

MOST_AT_ONCE = 3
"""Frames of one camera that are analysed or judged. A search takes some milliseconds and cutting a sighting out 10:
more than one at a time is rare, and more than this means that match hangs."""


class FrameLife:
    """For one open camera. Owns the camera's tracks and sightings."""

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
        self._tracks = tracks
        self._senses = senses
        self._clock = clock
        self.beside = Beside(self._labels)
        self.sightings = Sightings(studio=studio, outbox=outbox, beside=self.beside, clock=clock, labels=self._labels)
        self._living = 0
        self._turns: WeakKeyDictionary[Track, asyncio.Lock] = WeakKeyDictionary()
        # A picture is decoded once, and not by two threads at a time.
        self._developing = asyncio.Lock()

    @property
    def full(self) -> bool:
        """No other frame may begin now."""
        return self._living >= MOST_AT_ONCE

    async def begin(self, frame: Frame, *, at_end: Callable[[], None] = lambda: None) -> None:
        """Begins a frame's life and returns when it is analysed. The frame is ours: it is destroyed when its life is
        over or cut short, and `at_end` is called. Once `beside` has been entered."""
        analysed = asyncio.Event()

        def ended() -> None:
            self._living -= 1
            frame.destroy(CUT_SHORT)  # only if it never lived
            analysed.set()
            at_end()

        self._living += 1
        self.beside.start(lambda: self._live(frame, analysed.set), step="frame", at_end=ended)
        await analysed.wait()

    def notice_detect(self) -> None:
        """Ends the tracks that detect lost. Called whenever the link to detect changed, never during an analysis."""
        stream = self._detector.current
        self._tracks.follow(None if stream is None else stream.stream)

    def close(self) -> None:
        """The camera is closed: nothing can be confirmed any more."""
        self._tracks.end_all(Fate(TrackClass.EXPIRED, Reason.CAMERA_CLOSED))

    async def _live(self, frame: Frame, analysed: Callable[[], None]) -> None:
        """The frame is destroyed when this returns, is cancelled, or raises (which is a defect)."""
        fate = Fate(FrameClass.UNANALYSED, Reason.INTERNAL)
        try:
            with span(SpanName.FRAME, parent=frame.traceparent, **self._labels) as told:
                fate = await self._analyse_and_judge(frame, analysed)
                told.set(fate=fate.kind, reason=fate.code or None)
        except asyncio.CancelledError:
            fate = CUT_SHORT
            raise
        finally:
            frame.destroy(fate)
            self._remember(fate)

    async def _analyse_and_judge(self, frame: Frame, analysed: Callable[[], None]) -> Fate:
        self.notice_detect()
        stream = self._detector.current
        if stream is None:
            return Fate(FrameClass.UNANALYSED, Reason.DETECT_AWAY)
        settled = self._tracks.settled
        began = self._clock.monotonic()
        try:
            with span(SpanName.FRAME_ANALYSE):
                analysis = await stream.analyse(frame, pending=self._tracks.pending, settled=settled)
        except Away as away:
            return Fate(FrameClass.UNANALYSED, away.reason)
        stale_s = frame.arrival.lived(began).total_seconds() + analysis.waited_s
        observe(Metric.FRAME_STALE, stale_s * 1e3, **self._labels)
        observe(Metric.FRAME_ANALYSED, (self._clock.monotonic() - began) * 1e3, **self._labels)
        if analysis.rejected:
            return Fate(FrameClass.REJECTED, analysis.rejected)
        self._tracks.observe(analysis.faces)
        with ExitStack() as held:
            shots = [(face, self._tracks[face.track]) for face in analysis.faces if face.is_shot]
            for face, track in shots:
                held.enter_context(track.judging())
                if face.track in settled:
                    # detect knew, and sends a shot all the same: it is time to look again, or at somebody else.
                    track.settled = False
            self._tracks.end(analysis.ended_tracks)
            frame.on_analysed()
            analysed()
            judged = await _all([self._judge(frame, analysis, face, track, stream) for face, track in shots])
        return next((fate for fate in judged if fate is not None), _unremarkable(analysis))

    def _turn(self, track: Track) -> AbstractAsyncContextManager[object]:
        """Shots of one track are judged one after the other. They ask for their turn in the order of their frames,
        because a frame's judges begin before the next frame's analysis does."""
        return self._turns.setdefault(track, asyncio.Lock())

    async def _judge(
        self, frame: Frame, analysis: Analysis, face: FoundFace, track: Track, stream: DetectStream
    ) -> Fate | None:
        """Searches one shot and does what the verdict says. The fate of the frame, if that decides it."""
        async with self._turn(track):
            if track.settled:
                return None
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
                return await self._cut_out(frame, analysis, face, track, probe, verdict)
            if verdict.decision is Decision.AGREED:
                self._measure("confirm", before.deadline - LONGEST.total_seconds())
                self.sightings.seal(before.take(), track, _finding(track, verdict, probes))
                return SEEN_ALREADY
            before.probes = probes
            return None

    async def _search(self, stream: DetectStream, probes: list[Probe]) -> Verdict:
        began = self._clock.monotonic()
        with span(SpanName.FRAME_SEARCH, probes=len(probes)) as told:
            verdict = await self._searcher.search(stream.model_digest, probes)
            told.set(decision=verdict.decision)
        observe(Metric.TRACK_SEARCHED, (self._clock.monotonic() - began) * 1e3, **self._labels)
        return verdict

    async def _cut_out(
        self, frame: Frame, analysis: Analysis, face: FoundFace, track: Track, probe: Probe, verdict: Verdict
    ) -> Fate | None:
        """Cuts what a sighting needs out of the frame: one that waits or, if match needs no more, evidence."""
        agreed = verdict.decision is Decision.AGREED
        # detect is asked for another shot from now on, not only when the pictures are made.
        track.wants_shot = not agreed
        began = self._clock.monotonic()
        try:
            async with self._developing:
                with span(SpanName.SIGHTING, faces=len(analysis.faces)):
                    pictures = await self._studio.develop(frame.picture, analysis.faces, face)
        except Rejected as rejected:
            track.note(Fate(TrackClass.UNCONFIRMED))
            return Fate(FrameClass.REJECTED, rejected.reason)
        finally:
            track.wants_shot = False
        self._measure("develop", began)
        exhibit = Exhibit(pictures, frame=frame.hold(), track=track.hold())
        if agreed:
            self.sightings.seal(exhibit, track, _finding(track, verdict, [probe]))
        else:
            deadline = frame.arrival.trusted_capture + LONGEST.total_seconds()
            self.sightings.wait(exhibit, track, probe, deadline=deadline)
        return None

    def _measure(self, step: str, began: float) -> None:
        observe(Metric.SIGHTING_STEP, (self._clock.monotonic() - began) * 1e3, step=step, **self._labels)

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
