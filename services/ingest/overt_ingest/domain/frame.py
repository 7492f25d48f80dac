"""The frame: the one owner of a picture, from the door until it is destroyed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from overt_ingest.domain.books import Fate, Hold

MOST_TRUSTED_DELAY = timedelta(milliseconds=500)
"""A camera's clock may be off by seconds. For deadlines a frame is taken to have been captured at most this long
before it arrived, and never after: otherwise a fast clock would stretch what may be kept, and a slow one would
end every sighting before it began. Latencies are reported from the stated capture."""


class Picture(Protocol):
    """Pixels, in whatever form they came. Not thread-safe; one owner."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def jpeg(self) -> bytes | None:
        """As it came, if it came as a JPEG."""
        ...

    @property
    def i420_bytes(self) -> int | None:
        """What it takes as planar YUV 4:2:0 (see `Slot` in detect.proto). None: it has no planes (a JPEG)."""
        ...

    def i420_into(self, view: memoryview) -> tuple[int, int] | None:
        """Copies the planes (Y, then U, then V, limited range BT.601, no padding) into `view`, which has `i420_bytes`,
        and keeps nothing of it. Width and height, both even: of an odd side the last row or column is left out. None
        if it cannot. Blocks: call it in a thread."""
        ...

    def bgr(self) -> NDArray[np.uint8]:
        """height x width x 3, blue green red. Blocks (decodes): call it in a thread. The array belongs to the
        picture. Rejected if it does not decode."""
        ...

    def sides(self) -> tuple[int, int]:
        """Width and height. Blocks and is Rejected like `bgr`."""
        ...

    def part(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """A copy of that rectangle, which lies inside, as `bgr` has it: the caller's to overwrite. Blocks and is
        Rejected like `bgr`."""
        ...

    def destroy(self) -> None:
        """What it owns is overwritten where that is possible (arrays) and let go of (bytes). Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a frame was captured and received. `monotonic` is the monotonic clock at reception, seconds."""

    captured_at: datetime
    received_at: datetime
    monotonic: float

    @property
    def trusted_capture(self) -> float:
        """The capture on the monotonic clock, as far as a camera's clock is believed."""
        delay = min(max(self.received_at - self.captured_at, timedelta(0)), MOST_TRUSTED_DELAY)
        return self.monotonic - delay.total_seconds()

    def lived(self, now: float) -> timedelta:
        """From capture (reception, if the camera's clock is ahead) until `now` on the monotonic clock."""
        age_then = max(self.received_at - self.captured_at, timedelta(0))
        return age_then + timedelta(seconds=now - self.monotonic)


class Frame:
    """Owns its picture. Whoever has the frame destroys it, in a `finally`."""

    __slots__ = ("_hold", "_picture", "arrival", "on_analysed", "sequence", "traceparent")

    def __init__(
        self,
        *,
        sequence: int,
        arrival: Arrival,
        picture: Picture,
        hold: Hold,
        traceparent: str = "",
        on_analysed: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_analysed` is for whoever analyses it to call."""
        self.sequence = sequence
        self.arrival = arrival
        self.traceparent = traceparent
        self.on_analysed = on_analysed
        self._picture: Picture | None = picture
        self._hold = hold

    @property
    def picture(self) -> Picture:
        """Only while it lives: asking later is a defect."""
        if self._picture is None:
            raise RuntimeError("this frame is destroyed")
        return self._picture

    def hold(self) -> Hold:
        """For a thing cut from it that may outlive it."""
        return self._hold.life.hold()

    def destroy(self, fate: Fate) -> None:
        """Its picture is gone when this returns. Idempotent: the first fate counts."""
        picture, self._picture = self._picture, None
        if picture is not None:
            picture.destroy()
        self._hold.let_go(fate)

    def __repr__(self) -> str:
        size: Any = "destroyed" if self._picture is None else f"{self._picture.size_bytes} bytes"
        return f"Frame({self.sequence}, {size})"
