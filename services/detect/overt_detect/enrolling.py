"""The use case Enrol: a reference template from a picture that shows exactly one usable face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from overt.errors import Rejected
from overt.reasons import Reason

from overt_detect.domain.acceptance import Acceptance
from overt_detect.domain.geometry import Face, Region
from overt_detect.domain.quality import Quality, assess, geometry
from overt_detect.ports import Engine, Picture, Pixels, Template

_OTHER_FACE = 0.5
"""A second face at least this large compared with the largest: nobody can tell whom the entry means."""

_REFERENCE_MARGIN = 0.4
"""Of the reference crop, on each side of the face: hair, ears and chin, which people compare by."""

_PADDING = 0.5
"""Around a picture in which no face was found: a tight crop has no rim of background, as detectors expect."""

_LONGER_SIDES = (960, 320)
"""At which the face is searched, one after the other: one that fills a large picture is found at a size nearer to
what the detector was trained on."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What enrolment gives: the template, as `with_mirror_image` makes it, and the face with a margin as it is in the
    picture."""

    template: Template = field(repr=False)
    crop: Picture = field(repr=False)
    quality: Quality


def with_mirror_image(engine: Engine, aligned: Picture, template: Template) -> Template:
    """The mean of `template`, which is that of `aligned`, and of its mirror image's, at unit length.

    For references only: which side was to the light is no part of who somebody is. It takes a second inference, which
    a list pays once; a passer-by's shot would pay it each time, for little more. Shots go on being compared as they
    are, and thresholds hold: at one and the same score the false-match rate is within a tenth of what it was without
    (docs/accuracy.md). That is why the model digest says nothing of it.
    """
    both = template + engine.template(np.ascontiguousarray(aligned[:, ::-1]))
    return np.asarray(both / np.linalg.norm(both), np.float32)


class Enrolment:
    """Stateless; safe from every thread. `as_pixels` makes a picture one that the engine takes."""

    def __init__(self, *, engine: Engine, acceptance: Acceptance, as_pixels: Callable[[Picture], Pixels]) -> None:
        self._engine = engine
        self._acceptance = acceptance
        self._as_pixels = as_pixels

    def enrol(self, picture: Picture) -> Reference:
        """Rejected with no_face, several_faces or a quality code when the picture cannot serve."""
        pixels, faces = self._find(self._as_pixels(picture))
        if not faces:
            raise Rejected(Reason.NO_FACE, "no face was found in the picture")
        face = max(faces, key=lambda f: f.box.longer_side)
        others = [f for f in faces if f is not face and geometry(f).certainty >= self._acceptance.least_certainty]
        if any(f.box.longer_side >= _OTHER_FACE * face.box.longer_side for f in others):
            raise Rejected(Reason.SEVERAL_FACES, "the picture shows more than one face; cut out the one that is meant")
        face = self._engine.level(pixels, face)
        aligned = self._engine.align(pixels, face.landmarks)
        quality = assess(face, aligned)
        refused = self._acceptance.refusal(quality)
        if refused is not None:
            raise Rejected(refused, _ADVICE[refused])
        template = with_mirror_image(self._engine, aligned, self._engine.template(aligned))
        return Reference(template, _crop(pixels, face), quality)

    def _find(self, pixels: Pixels) -> tuple[Pixels, list[Face]]:
        """The faces, and the picture whose pixels they are in: the given one, or that one with a rim."""
        for rim in (0, int(max(pixels.width, pixels.height) * _PADDING)):
            candidate = self._as_pixels(pixels.part(-rim, -rim, pixels.width + rim, pixels.height + rim))
            for longer_side in _LONGER_SIDES:
                faces = self._search(candidate, longer_side)
                if any(geometry(face).certainty >= self._acceptance.least_certainty for face in faces):
                    return candidate, faces
        return pixels, self._search(pixels, _LONGER_SIDES[0])

    def _search(self, pixels: Pixels, longer_side: int) -> list[Face]:
        scale = min(1.0, longer_side / max(pixels.width, pixels.height))
        return self._engine.find(pixels, Region.whole(pixels.width, pixels.height), scale)


_ADVICE = {
    Reason.TOO_SMALL: "the face is too small; use a larger picture of it",
    Reason.LOW_CONFIDENCE: "the face is not clear enough to be sure that it is one",
    Reason.EXTREME_POSE: "the head is turned too far; use a picture from the front",
    Reason.TOO_DARK: "the face is too dark",
    Reason.TOO_BRIGHT: "the face is too bright",
    Reason.BLURRED: "the face is blurred",
}


def _crop(pixels: Pixels, face: Face) -> Picture:
    return pixels.part(*face.box.grown(_REFERENCE_MARGIN).within(pixels.width, pixels.height))
