"""The use case Analyse: one stream's frames, one after the other, into faces, tracks and shots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from overt.reasons import Reason
from overt.telemetry import Metric, SpanName, count, observe, span

from overt_detect.domain.acceptance import Acceptance
from overt_detect.domain.best_shot import BestShots
from overt_detect.domain.geometry import Face, Zone
from overt_detect.domain.quality import Quality, assess, rank
from overt_detect.ports import Engine, Picture, Template, Tracker
from overt_detect.timing import step


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


class StreamAnalysis:
    """The state of one camera's stream: geometry and quality numbers of its living tracks, nothing else.

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
        detection_width: int,
    ) -> None:
        self._engine = engine
        self._tracker = tracker
        self._acceptance = replace(acceptance, smallest_px=smallest_face_px)
        self._zone = zone
        self._detection_width = detection_width
        self._best = BestShots()

    def analyse(
        self,
        decode: Callable[[], Picture],
        *,
        at: float,
        pending: Collection[int] = (),
        settled: Collection[int] = (),
    ) -> Analysis:
        """One frame, captured `at` seconds on the camera's clock. What `decode` raises goes through."""
        with step("decode"):
            picture = decode()
        height, width = picture.shape[:2]
        with span(SpanName.DETECT_FACES), step("detect"):
            faces = self._engine.find(picture, width=self._detection_width)
        big = [i for i, face in enumerate(faces) if face.box.longer_side >= self._acceptance.smallest_px]
        with step("track"):
            tracked = self._tracker.follow([faces[i] for i in big], at)
        self._best.forget(tracked.ended)
        tracks = dict(zip(big, tracked.tracks, strict=True))
        with span(SpanName.DETECT_TEMPLATES) as told:
            found = tuple(
                self._judge(picture, face, tracks.get(i, 0), at, pending, settled) for i, face in enumerate(faces)
            )
            shots = sum(f.template is not None for f in found)
            told.set(faces=len(found), shots=shots)
        _measure(found, shots)
        return Analysis(found, tracked.ended, width, height)

    def _judge(
        self,
        picture: Picture,
        face: Face,
        track: int,
        at: float,
        pending: Collection[int],
        settled: Collection[int],
    ) -> Found:
        aligned, quality = self._look_at(picture, face)
        worth = rank(quality)
        refused = self._refusal(picture, face, track, quality, settled) or self._best.refusal(
            track, rank=worth, at=at, pending=track in pending
        )
        if refused is None:
            # Only now, for it costs more than all of the above: most faces are never templated.
            level = self._engine.level(picture, face)
            if level is not face:
                face = level
                aligned, quality = self._look_at(picture, face)
                refused = self._acceptance.refusal(quality)
        if refused is not None:
            return Found(track, face, quality, refused=refused)
        with step("template"):
            template = self._engine.template(aligned)
        self._best.took(track, rank=worth, at=at)
        return Found(track, face, quality, template)

    def _look_at(self, picture: Picture, face: Face) -> tuple[Picture, Quality]:
        with step("align"):
            aligned = self._engine.align(picture, face.landmarks)
            return aligned, assess(face, aligned)

    def _refusal(
        self, picture: Picture, face: Face, track: int, quality: Quality, settled: Collection[int]
    ) -> Reason | None:
        height, width = picture.shape[:2]
        if not self._zone.holds(face.box, width, height):
            return Reason.OUTSIDE_ZONE
        if face.box.longer_side < self._acceptance.smallest_px:
            return Reason.TOO_SMALL
        if not track:
            return Reason.NOT_TRACKED
        if track in settled:
            return Reason.SETTLED
        return self._acceptance.refusal(quality)


def _measure(found: Collection[Found], shots: int) -> None:
    observe(Metric.DETECT_FACES, len(found))
    if shots:
        count(Metric.DETECT_SHOTS, shots)
    for reason, n in Counter(f.refused for f in found if f.refused).items():
        count(Metric.DETECT_REFUSED, n, reason=reason)
