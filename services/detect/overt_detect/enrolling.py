"""The use case Enrol: a reference template from a picture that shows exactly one usable face."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from overt.errors import Rejected
from overt.reasons import Reason

from overt_detect.domain.acceptance import Acceptance
from overt_detect.domain.geometry import Face
from overt_detect.domain.quality import Quality, assess
from overt_detect.ports import Engine, Picture, Template

_OTHER_FACE = 0.5
"""A second face at least this large compared with the largest: nobody can tell whom the entry means."""

_REFERENCE_MARGIN = 0.4
"""Of the reference crop, on each side of the face: hair, ears and chin, which people compare by."""

_PADDING = 0.5
"""Around a picture in which no face was found: a tight crop has no rim of background, as detectors expect."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What enrolment gives: the template, and the face with a margin as it is in the picture."""

    template: Template = field(repr=False)
    crop: Picture = field(repr=False)
    quality: Quality


class Enrolment:
    """Stateless; safe from every thread."""

    def __init__(self, *, engine: Engine, acceptance: Acceptance, detection_width: int) -> None:
        self._engine = engine
        self._acceptance = acceptance
        # A face that fills a large picture is found at a size nearer to what the detector was trained on.
        self._widths = (detection_width, detection_width // 3)

    def enrol(self, picture: Picture) -> Reference:
        """Rejected with no_face, several_faces or a quality code when the picture cannot serve."""
        picture, faces = self._find(picture)
        if not faces:
            raise Rejected(Reason.NO_FACE, "no face was found in the picture")
        face = max(faces, key=lambda f: f.box.longer_side)
        others = [f for f in faces if f is not face and f.score >= self._acceptance.smallest_score]
        if any(f.box.longer_side >= _OTHER_FACE * face.box.longer_side for f in others):
            raise Rejected(Reason.SEVERAL_FACES, "the picture shows more than one face; cut out the one that is meant")
        face = self._engine.level(picture, face)
        aligned = self._engine.align(picture, face.landmarks)
        quality = assess(face, aligned)
        refused = self._acceptance.refusal(quality)
        if refused is not None:
            raise Rejected(refused, _ADVICE[refused])
        return Reference(self._engine.template(aligned), _crop(picture, face), quality)

    def _find(self, picture: Picture) -> tuple[Picture, list[Face]]:
        """The faces, and the picture whose pixels they are in: the given one, or that one padded."""
        for candidate in (picture, _padded(picture)):
            for width in self._widths:
                faces = self._engine.find(candidate, width=width)
                if any(face.score >= self._acceptance.smallest_score for face in faces):
                    return candidate, faces
        return picture, self._engine.find(picture, width=self._widths[0])


_ADVICE = {
    Reason.TOO_SMALL: "the face is too small; use a larger picture of it",
    Reason.LOW_CONFIDENCE: "the face is not clear enough to be sure that it is one",
    Reason.EXTREME_POSE: "the head is turned too far; use a picture from the front",
    Reason.TOO_DARK: "the face is too dark",
    Reason.TOO_BRIGHT: "the face is too bright",
    Reason.BLURRED: "the face is blurred",
}


def _padded(picture: Picture) -> Picture:
    rim = int(max(picture.shape[:2]) * _PADDING)
    return np.pad(picture, ((rim, rim), (rim, rim), (0, 0)))


def _crop(picture: Picture, face: Face) -> Picture:
    height, width = picture.shape[:2]
    left, top, right, bottom = face.box.grown(_REFERENCE_MARGIN).within(width, height)
    return np.ascontiguousarray(picture[top:bottom, left:right])
