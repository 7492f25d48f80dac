"""One stream's frames, read where their sender put them: in its ring of shared memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from overt.errors import Rejected, Retryable
from overt.pictures import check_size
from overt.reasons import Reason
from overt.ring import RingView

from overt_detect.adapters.pixels import I420Pixels
from overt_detect.ports import Pixels

ATTACH_DEADLINE_S = 0.5
"""It takes a millisecond. A frame is given up after 2 s, and must still get here the other way when this fails."""


class StreamRing:
    """See the port `SharedPictures`. Maps one ring at a time: a stream sends one frame at a time, so the one before
    is done with."""

    def __init__(self, socket: Path | None) -> None:
        """`socket`: the door of the sender's rings. None: there is none."""
        self._socket = socket
        self._id = ""
        self._view: RingView | None = None

    async def attach(self, ring_id: str) -> None:
        if self._socket is None:
            raise Rejected(Reason.NO_RING, "OVERT_RING_SOCKET is not set")
        self.close()
        try:
            self._view = await asyncio.to_thread(RingView.attach, self._socket, ring_id, ATTACH_DEADLINE_S)
        except Retryable as error:
            raise Rejected(Reason.NO_RING, str(error)) from None
        self._id = ring_id

    async def shown(
        self, *, ring_id: str, index: int, generation: int, width: int, height: int
    ) -> AbstractContextManager[Callable[[], Pixels]]:
        check_size(width, height)
        if self._view is None or ring_id not in ("", self._id):
            await self.attach(ring_id)
        assert self._view is not None
        return _shown(self._view, index, generation, width, height)

    def close(self) -> None:
        view, self._view, self._id = self._view, None, ""
        if view is not None:
            view.close()


@contextlib.contextmanager
def _shown(view: RingView, index: int, generation: int, width: int, height: int) -> Iterator[Callable[[], Pixels]]:
    with view.slot(index, generation, width * height * 3 // 2) as data:
        yield lambda: I420Pixels(data, width, height)
