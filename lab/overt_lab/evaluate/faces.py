"""From a picture file to a template, through detect's own engine: the only module here that knows detect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from overt.errors import Fatal, Rejected
from overt.models import default_directory, ensure
from overt_detect.adapters.choosing import Wishes, choose
from overt_detect.adapters.pictures import decode_reference
from overt_detect.adapters.pixels import BgrPixels
from overt_detect.domain.geometry import Face, Region
from overt_detect.domain.quality import Quality, assess, rank
from overt_detect.enrolling import with_mirror_image
from overt_detect.ports import Engine, Picture, Pixels

from overt_lab.evaluate.templates import Made, Mirrored

LONGER_SIDE = 960
"""At which faces are searched, as detect searches a reference picture. Pictures are never enlarged."""

_RIM = 0.5
"""Around a picture in which no face was found, in longer sides: a tight crop has no background, as detectors expect."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """By the names that detect's settings have for them. `model_dir`: None for where detect has it by default."""

    pack: str = "open"
    model_dir: Path | None = None
    engine: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class Ran:
    """What really ran, for beside the figures."""

    engine: str
    provider: str
    precision: str
    model_pack: str
    model_digest: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision} ({self.provider})"


class Enroller:
    """Templates of the face nearest a picture's centre; no quality gate. Every thread may use it at once."""

    def __init__(
        self,
        engine: Engine,
        ran: Ran,
        *,
        length: int,
        levelled: bool,
        mirrored: Mirrored = Mirrored.REFERENCES,
        watch: Callable[[Quality], None] | None = None,
    ) -> None:
        """`length`: of a template. `levelled`: landmarks follow the tilt of the head, as they do in the product.
        `watch` is told of the quality of each face that is templated, from any thread."""
        self._engine = engine
        self._levelled = levelled
        self._mirrored = mirrored
        self._watch = watch
        self.ran = ran
        self.length = length

    def watched(self, watch: Callable[[Quality], None]) -> Enroller:
        """The same, telling of each face."""
        return Enroller(
            self._engine,
            self.ran,
            length=self.length,
            levelled=self._levelled,
            mirrored=self._mirrored,
            watch=watch,
        )

    def made(self, picture: Picture) -> Made | None:
        """Its templates as a shot and as a reference; None where no face is found."""
        for rim in (0, int(max(picture.shape[:2]) * _RIM)):
            height, width = picture.shape[:2]
            pixels: Pixels = BgrPixels(picture)
            if rim:
                pixels = BgrPixels(pixels.part(-rim, -rim, width + rim, height + rim))
            scale = min(1.0, LONGER_SIDE / max(pixels.width, pixels.height))
            faces = self._engine.find(pixels, Region.whole(pixels.width, pixels.height), scale)
            if faces:
                face = central(faces, pixels.width, pixels.height)
                if self._levelled:
                    face = self._engine.level(pixels, face)
                aligned = self._engine.align(pixels, face.landmarks)
                quality = assess(face, aligned)
                if self._watch is not None:
                    self._watch(quality)
                return self._of(aligned, rank(quality))
        return None

    def _of(self, aligned: Picture, worth: float) -> Made:
        template = self._engine.template(aligned)
        if self._mirrored is Mirrored.NONE:
            return Made(template, template, worth)
        both = with_mirror_image(self._engine, aligned, template)
        return Made(both if self._mirrored is Mirrored.BOTH else template, both, worth)


def central(faces: list[Face], width: int, height: int) -> Face:
    """The one whose box is nearest the centre of a picture of that size."""
    return min(faces, key=lambda face: math.dist(face.box.centre, (width / 2, height / 2)))


def read_picture(path: Path) -> Picture | None:
    """None for what is no JPEG or PNG, is damaged, or has a side out of detect's bounds. Fatal if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Fatal(f"{path} cannot be read: {error.strerror}") from error
    try:
        return decode_reference(content)
    except Rejected:
        return None


def open_enroller(choice: EngineChoice, levelled: bool, mirrored: Mirrored, workers: int) -> Enroller:
    """For that many threads. Builds the models if need be, which takes seconds. Fatal when this machine cannot run
    what was chosen, or it does not agree with f32 on ONNX Runtime."""
    prepared = ensure(choice.pack, choice.model_dir or default_directory())
    engine = choose(prepared, Wishes(engine=choice.engine, precision=choice.precision, streams=workers)).engine
    ran = Ran(engine.engine, engine.provider, engine.precision, prepared.pack.name, prepared.digest)
    return Enroller(engine, ran, length=prepared.pack.template_length, levelled=levelled, mirrored=mirrored)
