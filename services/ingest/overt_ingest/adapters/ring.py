"""How one stream's frames reach detect through shared memory, as long as that works."""

from __future__ import annotations

from overt.api.detect.v1 import detect_pb2 as pb
from overt.reasons import Reason
from overt.ring import Lease, Ring, RingDoor
from overt.telemetry import get_logger

from overt_ingest.adapters.pixels import off_loop
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.frame import Picture

log = get_logger(__name__)

SLOTS = 3
"""One that detect reads, one that it may still be reading after its deadline, one for the next frame. Memory is taken
only by slots that were used, the one with the lowest index first: as a rule, one picture a camera."""


class FrameRing:
    """Belongs to one stream and ends with it, so no picture is ever put where a stream before may still be reading.

    Makes a ring for the pictures' size when the first one comes, and another one when that changes.
    """

    def __init__(self, door: RingDoor | None, spec: CameraSpec) -> None:
        """`door` None: frames travel inside messages."""
        self._door = door
        self.names = {"deployment": spec.deployment, "camera": spec.camera}
        self._ring: Ring | None = None
        self.slot_bytes = 0

    @property
    def id(self) -> str:
        """Empty: there is none."""
        return "" if self._ring is None else self._ring.id

    def prepare(self, slot_bytes: int) -> None:
        """Makes it before the first frame comes, if the size is known (not 0)."""
        if slot_bytes:
            self._fit(slot_bytes)

    async def put(self, picture: Picture, message: pb.FrameToAnalyse) -> Lease | None:
        """Copies the picture into a slot, which is the caller's to end, and names it in the message. None: it has to
        travel another way."""
        needed = None if self._door is None else picture.i420_bytes
        if needed is None:
            return None
        self._fit(needed)
        ring = self._ring
        lease = None if ring is None else ring.lease()
        if ring is None or lease is None:
            return None
        size = None
        try:
            size = await off_loop(picture.i420_into, lease.view)
        finally:
            if size is None:
                lease.release()
        if size is None:
            return None
        message.slot.ring_id, message.slot.index, message.slot.generation = ring.id, lease.index, lease.generation
        message.slot.width, message.slot.height = size
        return lease

    def give_up(self, reason: Reason) -> None:
        """Frames travel inside messages from now on."""
        if self._door is not None:
            log.warning("ring_given_up", reason=reason, **self.names)
        self.close()

    def close(self) -> None:
        """Overwritten and let go of, and none is made any more. Idempotent."""
        self._drop()
        self._door = None

    def _fit(self, needed: int) -> None:
        if self._door is None or (self._ring is not None and self._ring.slot_bytes == needed):
            return
        self._drop()
        try:
            self._ring = Ring(SLOTS, needed)
        except (OSError, ValueError) as error:
            log.warning("ring_not_made", error=error, bytes=needed, **self.names)
            self.close()
            return
        self.slot_bytes = needed
        self._door.admit(self._ring)

    def _drop(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            if self._door is not None:
                self._door.withdraw(ring)
            ring.close()
