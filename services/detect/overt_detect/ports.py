"""What the use cases need from outside. Everything here blocks and runs in the inference pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overt_detect.domain.geometry import Face, Landmarks, Region

__all__ = ["Engine", "Picture", "Pixels", "Region", "SharedPictures", "Template", "Tracked", "Tracker"]

Picture = NDArray[np.uint8]
"""uint8[height, width, 3], blue green red."""

Template = NDArray[np.float32]
"""float32[template_length], unit length. Biometric data: never logged, never kept."""


class Pixels(Protocol):
    """A frame as it came, not yet converted: what is not asked for is never computed.

    Lives as long as the analysis of its frame; nobody writes to, or keeps, what it gives.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def scaled(self, region: Region, width: int, height: int) -> Picture:
        """That part of the picture, uint8[height, width, 3]."""
        ...

    def part(self, left: int, top: int, right: int, bottom: int) -> Picture:
        """That part as it is, uint8[bottom - top, right - left, 3]. Outside of the picture it is black."""
        ...


class SharedPictures(Protocol):
    """Memory that a stream shares with its sender. Belongs to the event loop; what `shown` gives, to any thread."""

    async def attach(self, ring_id: str) -> None:
        """Takes it instead of the one before. Rejected(NO_RING) if it cannot be had."""
        ...

    async def shown(
        self, *, ring_id: str, index: int, generation: int, width: int, height: int
    ) -> AbstractContextManager[Callable[[], Pixels]]:
        """The picture in a slot, to be looked at within the block; an empty `ring_id` is the ring at hand, another one
        is attached first. Rejected, also at the end of the block: then nothing that was seen may be used."""
        ...

    def close(self) -> None:
        """Lets go of it, as soon as nobody is looking any more. Idempotent."""
        ...


class Engine(Protocol):
    """Finds faces and makes templates. Safe to call from every thread of the pool at once."""

    @property
    def sure_px(self) -> float:
        """Longer side, in pixels of the detector's input, from which on it finds faces reliably."""
        ...

    def find(self, pixels: Pixels, region: Region, scale: float) -> list[Face]:
        """Every face in the region, best first, in the whole picture's pixels. `scale`: of the detector's input to
        the picture, at most 1."""
        ...

    def level(self, pixels: Pixels, face: Face) -> Face:
        """The face with landmarks that are found from near, and follow the tilt of the head; or the face as it is.
        Takes some milliseconds: for shots only."""
        ...

    def align(self, pixels: Pixels, landmarks: Landmarks) -> Picture:
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
