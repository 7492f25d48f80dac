"""One connection to a video source: a thread that receives its packets and one that decodes them.

The first does nothing else, so that a packet's arrival is its arrival. The second hands each picture to the event
loop, one at a time, and tells it of every packet that became none.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime

import av
from av.container import InputContainer
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock

from overt_ingest.adapters.backlog import Arrived, Backlog, Next
from overt_ingest.adapters.decoding import Decoder, Packet, Shown
from overt_ingest.adapters.pixels import pulled_picture
from overt_ingest.camera import Visit

OPEN_TIMEOUT_S = 5.0
STALL_S = 5.0
"""A source without a frame for this long is dropped and opened again."""

STALE_S = 0.6
"""A picture that a decoder gives out so much later than its packet came is not shown to anybody: it was held back for
want of further packets, and those have come now."""

_TAKE_OVER_S = 2.0
"""How long the decoder waits for the event loop to take a frame; longer means that the process is ending."""

_LET_GO_S = 0.5


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a source was dropped: a reason and the type of the error, never its message."""

    reason: Reason
    error: str = ""


@dataclass(slots=True)
class _Load:
    """What the event loop is to take over: at most one picture, and what came before it and is none."""

    dropped: list[datetime] = field(default_factory=list)
    refused: list[tuple[datetime, Reason]] = field(default_factory=list)
    shown: Shown | None = None

    def __bool__(self) -> bool:
        return bool(self.dropped or self.refused or self.shown)


class Pulling:
    """Run it once. `sequence` numbers frames, on from the connection before."""

    def __init__(self, url: str, options: Mapping[str, str], visit: Visit, clock: Clock, *, sequence: int = 0) -> None:
        self._url = url
        self._options = dict(options)
        self._visit = visit
        self._clock = clock
        self.sequence = sequence
        self.got_frames = False
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Trouble] = self._loop.create_future()
        self._frame_at = self._loop.time()
        self._stop = threading.Event()
        self._backlog: Backlog[Packet] = Backlog(clock.monotonic)
        self._trouble = Trouble(Reason.SOURCE_LOST)
        self._decoding: threading.Thread | None = None

    async def run(self) -> Trouble:
        """Until the source is lost. On cancellation the threads are told to end; the decoder has let go of its frame
        when this returns. The receiver, which has none, may be stuck in the network for some seconds more."""
        # Daemons: a peer that neither sends nor closes must not keep the process from ending.
        threading.Thread(target=self._receive, name="receive", daemon=True).start()
        try:
            return await self._watch()
        finally:
            self._stop.set()
            self._backlog.clear()
            if not self._ended.done():
                await asyncio.wait((self._ended,), timeout=_LET_GO_S)

    async def _watch(self) -> Trouble:
        """What ended it, or that no frame came in time: FFmpeg's own timeouts are seconds late at times."""
        while True:
            patience = STALL_S if self.got_frames else OPEN_TIMEOUT_S + STALL_S
            left = self._frame_at + patience - self._loop.time()
            if left <= 0:
                # The receiver ends by itself when FFmpeg notices; nothing is handed over any more.
                return Trouble(Reason.SOURCE_STALLED)
            await asyncio.wait((self._ended,), timeout=min(left, STALL_S))
            if self._ended.done():
                return self._ended.result()

    def _tell(self, trouble: Trouble) -> None:
        """From any thread; the first one counts."""

        def tell() -> None:
            if not self._ended.done():
                self._ended.set_result(trouble)

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(tell)

    # The thread that receives

    def _receive(self) -> None:
        """The connection is closed last: that may wait for the peer, and nobody waits for it."""
        with ExitStack() as closing:
            try:
                container = av.open(self._url, mode="r", timeout=(OPEN_TIMEOUT_S, STALL_S), options=self._options)
                closing.callback(container.close)
                self._trouble = self._demux(container, closing)
            except (TimeoutError, av.error.ExitError):
                self._trouble = Trouble(Reason.SOURCE_STALLED, "TimeoutError")
            except (av.error.FFmpegError, OSError, ValueError) as error:
                self._trouble = Trouble(Reason.SOURCE_LOST, type(error).__name__)
            self._backlog.end()
            if self._decoding is None:
                self._tell(self._trouble)

    def _demux(self, container: InputContainer, closing: ExitStack) -> Trouble:
        if not container.streams.video:
            return Trouble(Reason.NOT_A_PICTURE, "no_video")
        stream = container.streams.video[0]
        self._decoding = threading.Thread(
            target=self._decode, args=(Decoder(stream.codec_context),), name="decode", daemon=True
        )
        self._decoding.start()
        closing.callback(self._decoding.join)
        for packet in container.demux(stream):
            if self._stop.is_set():
                return Trouble(Reason.CAMERA_CLOSED)
            if packet.size:
                self._backlog.put(Arrived(packet, self._clock.now(), self._clock.monotonic()))
            del packet
        return Trouble(Reason.SOURCE_LOST, "end")

    # The thread that decodes

    def _decode(self, decoder: Decoder) -> None:
        """Tells the trouble when nothing more will be handed over."""
        trouble: Trouble | None = None
        try:
            while trouble is None:
                trouble = self._decode_next(decoder)
        # The outermost frame of the thread: whatever a decoder throws, the source is opened again.
        except Exception as error:  # noqa: BLE001
            trouble = Trouble(Reason.SOURCE_LOST, type(error).__name__)
        finally:
            self._stop.set()
            self._backlog.clear()
            decoder.begin_anew()  # the receiver, which may be stuck in the network, keeps FFmpeg's decoder alive
            self._tell(trouble or Trouble(Reason.SOURCE_LOST))

    def _decode_next(self, decoder: Decoder) -> Trouble | None:
        """A function of its own, so that nothing of a picture is left in its thread while that waits for the next."""
        following = self._backlog.take()
        if self._stop.is_set():
            return Trouble(Reason.CAMERA_CLOSED)
        load = _Load(dropped=list(following.dropped))
        for shown in self._pictures(decoder, following, load):
            load.dropped += decoder.lost()
            load.shown = shown
            if (trouble := self._hand_over(load)) is not None:
                return trouble
            load = _Load()
        load.dropped += decoder.lost()
        if load and (trouble := self._hand_over(load)) is not None:
            return trouble
        return self._trouble if following.ended else None

    def _pictures(self, decoder: Decoder, following: Next[Packet], load: _Load) -> Iterator[Shown]:
        """What the next packet brings out; what it does not is noted in the load."""
        if following.dropped:
            decoder.begin_anew()
        if (arrived := following.arrived) is None:
            if following.ended:
                yield from decoder.drain()
                decoder.begin_anew()
            return
        behind = self._visit.behind
        if behind and decoder.every_packet_stands_alone:
            load.dropped.append(arrived.captured_at)
            return
        decoder.skip(behind or following.late)
        try:
            pictures = decoder.decode(arrived)
        except Rejected as rejected:
            load.refused.append((arrived.captured_at, rejected.reason))  # the next key frame mends what is damaged
            return
        for shown in pictures:
            if following.late or self._clock.monotonic() - shown.at > STALE_S:
                load.dropped.append(shown.captured_at)  # decoded for the sake of those that follow
            else:
                yield shown

    def _hand_over(self, load: _Load) -> Trouble | None:
        """Waits until the event loop has taken it: one at a time, so nothing piles up."""
        taken = threading.Event()
        refusal: list[Reason] = []
        holder = [load]

        def take() -> None:
            try:
                if holder and not self._stop.is_set():
                    self._take(holder.pop())
            except Rejected as rejected:
                refusal.append(rejected.reason)
            except Retryable:
                refusal.append(Reason.LEDGER_AWAY)
            finally:
                taken.set()

        try:
            self._loop.call_soon_threadsafe(take)
        except RuntimeError:
            return Trouble(Reason.CAMERA_CLOSED)
        if not taken.wait(_TAKE_OVER_S):
            holder.clear()
            return Trouble(Reason.SOURCE_STALLED, "loop")
        return Trouble(refusal[0]) if refusal else None

    def _take(self, load: _Load) -> None:
        """In the event loop's thread."""
        for captured_at, reason in load.refused:
            self._visit.pass_over(captured_at=captured_at, reason=reason)
        if load.dropped or load.shown:
            self._frame_at = self._loop.time()
        for captured_at in load.dropped:
            self._visit.pass_over(captured_at=captured_at)
        if (shown := load.shown) is not None:
            self.sequence += 1
            self.got_frames = True
            self._visit.admit(
                sequence=self.sequence, captured_at=shown.captured_at, picture=lambda: pulled_picture(shown.take())
            )
