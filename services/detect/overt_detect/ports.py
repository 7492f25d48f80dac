"""What the use cases need from outside. Everything here blocks and runs in the inference pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overt_detect.domain.geometry import Face, Landmarks

Picture = NDArray[np.uint8]
"""uint8[height, width, 3], blue green red."""

Template = NDArray[np.float32]
"""float32[template_length], unit length. Biometric data: never logged, never kept."""


class Engine(Protocol):
    """Finds faces and makes templates. Safe to call from every thread of the pool at once."""

    @property
    def provider(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def find(self, picture: Picture, *, width: int) -> list[Face]:
        """Every face, best first, in the picture's own pixels. `width`: the longer side to search at."""
        ...

    def level(self, picture: Picture, face: Face) -> Face:
        """The face with landmarks that follow the tilt of the head. Takes some milliseconds: for shots only."""
        ...

    def align(self, picture: Picture, landmarks: Landmarks) -> Picture:
        """The face at the recogniser's size and position."""
        ...

    def template(self, aligned: Picture) -> Template: ...


@dataclass(frozen=True, slots=True)
class Tracked:
    """`tracks[i]` is the track of the i-th face, 0 for none; `ended` will not come back."""

    tracks: tuple[int, ...]
    ended: tuple[int, ...]


class Tracker(Protocol):
    """Joins the faces of one stream's frames into tracks. One for each stream, one call at a time."""

    def follow(self, faces: Sequence[Face], at: float) -> Tracked:
        """`at`: seconds on the camera's clock. Never goes back: an earlier time is taken as just after."""
        ...
