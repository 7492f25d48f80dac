"""Pictures handed from process to process through shared memory that has no name.

The owner makes a `Ring`, admits it at its `RingDoor` and leases slots; the reader attaches a `RingView` by the ring's
id. docs/adr/0007 says what is overwritten when, and what that does not prove.
"""

from __future__ import annotations

from overt.ring.door import RingDoor
from overt.ring.layout import MOST_SLOT_BYTES
from overt.ring.owner import Lease, Ring
from overt.ring.view import RingView

__all__ = ["MOST_SLOT_BYTES", "Lease", "Ring", "RingDoor", "RingView"]
