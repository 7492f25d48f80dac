"""Between the thread that receives a camera's packets and the one that decodes them.

What waits here waits for this process, not for the network: the time a packet has spent here is how far decoding
is behind its source, whatever timestamps the source has, or has none. A decoder that falls behind may catch up:
its backlog is often that of a busy moment, and costs it 3 ms a packet. If it does not within CATCH_UP_S, it never
will, and packets are dropped up to the next key frame, without which no later one can be decoded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar

LATE_S = 0.25
"""Behind the source. What is shown later than this is of no use: overload is to be met by seeing less, not later."""

CATCH_UP_S = 0.25

LONGEST_BLIND_S = 5.0
"""Then a decoder gets packets again although no key frame came: some streams refresh the picture bit by bit."""

MOST_BYTES = 16 * 1024 * 1024
"""Of waiting packets: 10 s of a generous 1080p stream. A decoder that hangs must not fill the memory."""


class Compressed(Protocol):
    """What a demuxer hands out (av.Packet)."""

    @property
    def size(self) -> int: ...
    @property
    def is_keyframe(self) -> bool: ...


P = TypeVar("P", bound=Compressed)


@dataclass(frozen=True, slots=True)
class Arrived(Generic[P]):
    """A packet and when it was received, which is taken for the capture; `at` on the monotonic clock, seconds."""

    packet: P = field(repr=False)
    captured_at: datetime
    at: float


@dataclass(frozen=True, slots=True)
class Next(Generic[P]):
    """What is to be decoded next, if anything, and the captures of those that were dropped before it."""

    arrived: Arrived[P] | None
    dropped: tuple[datetime, ...] = ()
    late: bool = False
    ended: bool = False
    """The source has ended and everything has been taken."""


class Backlog(Generic[P]):
    """One thread puts, one takes; any may end it."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the monotonic clock that `Arrived.at` is of."""
        self._now = now
        self._changed = threading.Condition()
        self._waiting: deque[Arrived[P]] = deque()
        self._bytes = 0
        self._dropped: list[datetime] = []
        self._late_since: float | None = None
        self._blind_since: float | None = None
        self._ended = False

    def put(self, arrived: Arrived[P]) -> None:
        """Never waits."""
        with self._changed:
            if self._ended:
                return
            self._waiting.append(arrived)
            self._bytes += arrived.packet.size
            if self._bytes > MOST_BYTES:
                self._drop(len(self._waiting))
                self._blind_since = self._now()
            self._changed.notify()

    def end(self) -> None:
        """Nothing more comes. What waits can still be taken. Idempotent."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def clear(self) -> None:
        """Ends it, and what waits is let go of: nobody will take it."""
        with self._changed:
            self._ended = True
            self._drop(len(self._waiting))
            self._changed.notify()

    def take(self) -> Next[P]:
        """Waits until there is something to tell."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._dropped or self._ended)
            now = self._now()
            arrived = self._choose(now)
            dropped, self._dropped = tuple(self._dropped), []
            late = arrived is not None and now - arrived.at > LATE_S
            return Next(arrived, dropped, late, ended=self._ended and arrived is None)

    def _choose(self, now: float) -> Arrived[P] | None:
        if not self._waiting:
            return None
        if now - self._waiting[0].at <= LATE_S:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        if self._late_since is not None and (key := self._newest_key()):
            self._drop(key)
            self._blind_since = None
        elif self._late_since is not None and now - self._late_since > CATCH_UP_S and self._blind_since is None:
            self._blind_since = now
        if self._blind_since is not None:
            self._see_again(now)
        if not self._waiting:
            return None
        chosen = self._waiting.popleft()
        self._bytes -= chosen.packet.size
        return chosen

    def _see_again(self, now: float) -> None:
        """Drops up to the first key frame, if there is one."""
        assert self._blind_since is not None
        if now - self._blind_since <= LONGEST_BLIND_S:
            key = next((i for i, arrived in enumerate(self._waiting) if arrived.packet.is_keyframe), None)
            self._drop(len(self._waiting) if key is None else key)
            if key is None:
                return
        self._blind_since = self._late_since = None

    def _newest_key(self) -> int:
        """Its place in the line; 0 also if there is none."""
        places = range(len(self._waiting) - 1, 0, -1)
        return next((i for i in places if self._waiting[i].packet.is_keyframe), 0)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            arrived = self._waiting.popleft()
            self._bytes -= arrived.packet.size
            self._dropped.append(arrived.captured_at)
