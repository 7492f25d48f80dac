"""The use case Analyse: one stream's frames, one after the other, into faces, tracks and shots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from overt.reasons import Reason
from overt.telemetry import Metric, SpanName, count, observe, span

from overt_detect.domain.acceptance import Acceptance
from overt_detect.domain.best_shot import BestShots, Pace
from overt_detect.domain.continuity import Continuity
from overt_detect.domain.geometry import Face, Zone
from overt_detect.domain.quality import Quality, geometry, light, pose, rank
from overt_detect.ports import Engine, Picture, Pixels, Template, Tracker
from overt_detect.timing import step

_Seen: TypeAlias = tuple[Face, Quality, int]
"""A face as it was found, what is known of it so far, and its track or 0."""

_TRACKED_WIDTH = 1920
"""Pixels of a picture's width that the tracker is shown, whatever it has."""


@dataclass(frozen=True, slots=True)
class Found:
    """A face of a frame: a shot if it has a template, else `refused` says why not."""

    track: int
    face: Face = field(repr=False)
    quality: Quality
    template: Template | None = field(default=None, repr=False)
    refused: Reason | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """Every face found in a frame of `width` by `height`, tracked or not, and the tracks that ended."""

    faces: tuple[Found, ...]
    ended: tuple[int, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is to be known of a frame to judge its faces."""

    pixels: Pixels = field(repr=False)
    at: float
    pending: Collection[int]
    settled: Collection[int]
    looks: int


class StreamAnalysis:
    """The state of one camera's stream: geometry and quality numbers of its living tracks, nothing else.

    `largest_input_px` is the longer side of the detector's input, at most. `everywhere`: faces are looked for in the
    whole picture, not only in the zone and its surroundings; outside of the zone they are no shots all the same.
    One call at a time, from any thread; `analyse` blocks for some tens of milliseconds.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        tracker: Tracker,
        acceptance: Acceptance,
        zone: Zone,
        smallest_face_px: float,
        largest_input_px: int,
        everywhere: bool = False,
    ) -> None:
        self._engine = engine
        self._tracker = tracker
        self._acceptance = replace(acceptance, smallest_px=smallest_face_px)
        self._zone = zone
        self._searched = Zone() if everywhere else zone
        self._largest_input_px = largest_input_px
        self._best = BestShots()
        self._continuity = Continuity()
        self._pace = Pace()

    def analyse(
        self,
        decode: Callable[[], Pixels],
        *,
        at: float,
        pending: Collection[int] = (),
        settled: Collection[int] = (),
    ) -> Analysis:
        """One frame, captured `at` seconds on the camera's clock. What `decode` raises goes through."""
        with step("decode"):
            pixels = decode()
        with span(SpanName.DETECT_FACES), step("detect"):
            faces, qualities = self._find(pixels)
        with step("track"):
            tracks, ended = self._follow(faces, qualities, pixels.width, at)
        frame = _Frame(pixels, at, pending, settled, self._pace.looks(at))
        with span(SpanName.DETECT_TEMPLATES) as told:
            found = self._judge_all(frame, list(zip(faces, qualities, tracks, strict=True)))
            shots = sum(f.template is not None for f in found)
            told.set(faces=len(found), shots=shots)
        _measure(found, shots)
        return Analysis(found, ended, pixels.width, pixels.height)

    def _find(self, pixels: Pixels) -> tuple[list[Face], list[Quality]]:
        """As large as the smallest face that matters needs it, however many pixels the camera has."""
        region = self._searched.region(pixels.width, pixels.height)
        sure = self._engine.sure_px
        largest = self._largest_input_px / max(region.width, region.height)
        scale = min(1.0, sure / self._acceptance.smallest_px, largest)
        faces = self._engine.find(pixels, region, scale)
        return faces, [geometry(face, seen=face.box.longer_side * scale / sure) for face in faces]

    def _follow(
        self, faces: Sequence[Face], qualities: Sequence[Quality], width: int, at: float
    ) -> tuple[list[int], tuple[int, ...]]:
        """The track of each face, 0 for none; the tracks that ended."""
        # As in a picture of one and the same size: a camera that changes its resolution keeps its tracks.
        faces = [replace(face, box=face.box.scaled(_TRACKED_WIDTH / width)) for face in faces]
        big = [i for i, quality in enumerate(qualities) if quality.size_px >= self._acceptance.smallest_px]
        followed = self._tracker.follow([faces[i] for i in big], at)
        self._best.forget(followed.ended)
        self._continuity.forget(followed.ended)
        tracks = [0] * len(faces)
        for i, track in zip(big, followed.tracks, strict=True):
            tracks[i] = track
        good = {t: faces[i].box for i, t in enumerate(tracks) if t and self._acceptance.refusal(qualities[i]) is None}
        for track in self._continuity.doubtful(good, at):
            self._best.doubt(track)
        return tracks, followed.ended

    def _judge_all(self, frame: _Frame, seen: Sequence[_Seen]) -> tuple[Found, ...]:
        """Most faces are refused for what is known of them already. Of the others a few are looked at closely."""
        judged: dict[int, Found] = {}
        wanted: list[tuple[tuple[bool, int, float], int]] = []
        for i, (face, quality, track) in enumerate(seen):
            refused = self._refusal(frame, face, quality, track)
            if refused is not None:
                judged[i] = Found(track, face, quality, refused=refused)
            else:
                wanted.append((self._best.urgency(track, rank=rank(quality), pending=track in frame.pending), i))
        left = frame.looks
        for _, i in sorted(wanted):
            face, quality, track = seen[i]
            refused = Reason.NEXT_FRAME
            if left:
                # From here on it costs something, and most faces do not come this far.
                quality = quality.lit(light(self._align(frame, face)))
                refused = self._refusal(frame, face, quality, track)
            if refused is not None:
                judged[i] = Found(track, face, quality, refused=refused)
            else:
                judged[i] = self._look_closely(frame, face, quality, track)
                left -= 1
        return tuple(judged[i] for i in range(len(seen)))

    def _look_closely(self, frame: _Frame, face: Face, quality: Quality, track: int) -> Found:
        self._best.looked_at(track)
        # Of the face as it was found: the next one is compared with it before anybody looks at it so closely.
        worth = rank(quality)
        with step("level"):
            face = self._engine.level(frame.pixels, face)
        quality = replace(quality, pose=pose(face.landmarks))
        refused = self._acceptance.refusal(quality)
        if refused is not None:
            return Found(track, face, quality, refused=refused)
        aligned = self._align(frame, face)
        with step("template"):
            template = self._engine.template(aligned)
        self._best.took(track, rank=worth, at=frame.at)
        return Found(track, face, quality, template)

    def _align(self, frame: _Frame, face: Face) -> Picture:
        with step("align"):
            return self._engine.align(frame.pixels, face.landmarks)

    def _refusal(self, frame: _Frame, face: Face, quality: Quality, track: int) -> Reason | None:
        """Why it is no shot, as far as the quality is known."""
        if not self._zone.holds(face.box, frame.pixels.width, frame.pixels.height):
            return Reason.OUTSIDE_ZONE
        if quality.size_px < self._acceptance.smallest_px:
            return Reason.TOO_SMALL
        if not track:
            return Reason.NOT_TRACKED
        if track in frame.settled and self._best.rests(track, at=frame.at):
            return Reason.SETTLED
        if (refused := self._acceptance.refusal(quality)) is not None:
            return refused
        return self._best.refusal(track, rank=rank(quality), at=frame.at, pending=track in frame.pending)


def _measure(found: Collection[Found], shots: int) -> None:
    observe(Metric.DETECT_FACES, len(found))
    if shots:
        count(Metric.DETECT_SHOTS, shots)
    for reason, n in Counter(f.refused for f in found if f.refused).items():
        count(Metric.DETECT_REFUSED, n, reason=reason)
