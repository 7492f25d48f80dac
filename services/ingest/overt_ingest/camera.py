"""One open camera: its door, its newest-frame slot, its loop, its books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from overt.errors import Rejected, Retryable
from overt.ledger import FrameClass, HistogramBuilder
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import Metric, count, gauge, observe

from overt_ingest.domain.admission import check_time_and_order
from overt_ingest.domain.books import FRAME_ORDER, TRACK_ORDER, Fate, Hold, OpenBook
from overt_ingest.domain.deployments import CameraSpec
from overt_ingest.domain.frame import Arrival, Frame, Picture
from overt_ingest.domain.sight import Senses
from overt_ingest.domain.tracks import Tracks
from overt_ingest.frame_life import CUT_SHORT, FrameLife
from overt_ingest.turns import Turns

Answer = Callable[[Fate | None, Arrival], None]
"""Told once: None as soon as a frame is analysed, whoever was in it and whatever its verdict; otherwise its fate."""

_SUPERSEDED = Fate(FrameClass.SUPERSEDED)
_NOT_DECODED = Fate(FrameClass.SUPERSEDED, Reason.NOT_DECODED)
_TOO_OLD = Fate(FrameClass.SUPERSEDED, Reason.TOO_OLD)

OLD_S = 0.15
"""A camera that cannot keep up leaves out frames that are older than this when its turn comes: overload is to be met by
seeing less, not later. Some sources deliver every other picture older than that, so it is no bound for one that can."""

BEHIND_S = 0.5
"""A camera that has left out something so lately cannot keep up."""

STARVED_S = 0.5
"""A camera that has seen nothing for so long takes what it gets, however old."""

LAST_FRAME_PATIENCE_S = 2.5
"""A closing camera lets its last frame end by itself this long: detect's deadline and some. Then it is cut short."""


class Camera:
    """Between opening and closing. All methods are for the event loop's thread."""

    def __init__(self, spec: CameraSpec, *, clock: Clock, may_enter: Callable[[int], bool]) -> None:
        """`may_enter` says, given how many frames have entered, whether one more may: the ledger's bound."""
        self.spec = spec
        self.frames = OpenBook(FRAME_ORDER)
        self.track_book = OpenBook(TRACK_ORDER)
        self.tracks = Tracks(self.track_book, on_gone=self._track_gone)
        self.senses = Senses()
        self.lived = HistogramBuilder()
        self.closing = asyncio.Event()
        self._labels = {"deployment": spec.deployment, "camera": spec.camera}
        self._clock = clock
        self._may_enter = may_enter
        self._newest: Frame | None = None
        self._behind_at = -BEHIND_S
        """When something was superseded last, or was about to be, on the monotonic clock."""
        self._began = clock.monotonic()
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._visited = False

    # The door

    def visit(self) -> Visit:
        """The right to send it frames; one visitor at a time. Rejected(CAMERA_BUSY / CAMERA_CLOSED)."""
        if self.closing.is_set():
            raise Rejected(Reason.CAMERA_CLOSED, "this camera is closed")
        if self._visited:
            raise Rejected(Reason.CAMERA_BUSY, "another stream sends the frames of this camera")
        self._visited = True
        return Visit(self)

    def _leave(self) -> None:
        self._visited = False
        self.senses.source_trouble = Reason.SOURCE_LOST

    def _admit(
        self,
        *,
        sequence: int,
        last_sequence: int | None,
        captured_at: datetime | None,
        picture: Callable[[], Picture],
        answer: Answer,
        traceparent: str,
    ) -> bool:
        """Takes a frame in, or refuses it with a receipt. Whether its sequence counts as seen."""
        self._check_open()
        now = self._clock.now()
        refused = check_time_and_order(captured_at=captured_at, now=now, sequence=sequence, last_sequence=last_sequence)
        stamped = now if captured_at is None or refused is Reason.CLOCK else captured_at
        arrival = Arrival(stamped, now, self._clock.monotonic())
        told = _Once(answer, arrival)
        hold = self._enter(arrival, told)
        if refused is not None:
            self._refuse(hold, refused)
            return False
        try:
            taken = picture()
        except Rejected as rejected:
            self._refuse(hold, rejected.reason)
            return True
        except BaseException:
            self._refuse(hold, Reason.INTERNAL)
            raise
        self._put(
            Frame(
                sequence=sequence,
                arrival=arrival,
                picture=taken,
                hold=hold,
                traceparent=traceparent,
                on_analysed=told.analysed,
            )
        )
        return True

    def _check_open(self) -> None:
        if self.closing.is_set():
            raise Rejected(Reason.CAMERA_CLOSED, "this camera is closed")
        if not self._may_enter(self.frames.entered):
            self.senses.ledger_away = True
            raise Retryable("the ledger cannot be written: no frame may enter until it can")

    def _enter(self, arrival: Arrival, told: Callable[[Fate], None]) -> Hold:
        self.senses.frame_came(self._clock.monotonic())
        count(Metric.FRAMES_IN, deployment=self.spec.deployment, camera=self.spec.camera)
        hold = self.frames.enter(lambda fate: self._frame_gone(fate, arrival, told))
        gauge(Metric.FRAMES_IN_FLIGHT, self.frames.in_flight, **self._labels)
        return hold

    def _pass_over(self, captured_at: datetime, reason: Reason | None) -> None:
        """A frame that nobody has seen, not even its decoder, is a frame in the books."""
        self._check_open()
        if reason is not None:
            fate = Fate(FrameClass.REJECTED, reason)
        elif self.senses.detect_away:
            fate = Fate(FrameClass.UNANALYSED, Reason.DETECT_AWAY)
        else:
            fate = _NOT_DECODED
            self._behind_at = self._clock.monotonic()
        arrival = Arrival(captured_at, self._clock.now(), self._clock.monotonic())
        self._enter(arrival, lambda fate: None).let_go(fate)
        if fate != _NOT_DECODED:
            self.senses.wasted(self._clock.monotonic(), FrameClass(fate.kind), Reason(fate.code))

    def _refuse(self, hold: Hold, reason: Reason) -> None:
        self.senses.wasted(self._clock.monotonic(), FrameClass.REJECTED, reason)
        hold.let_go(Fate(FrameClass.REJECTED, reason))

    def _put(self, frame: Frame) -> None:
        """The newest wins: what was waiting is destroyed unseen."""
        waiting, self._newest = self._newest, frame
        if waiting is not None:
            waiting.destroy(_SUPERSEDED)
            self._behind_at = self._clock.monotonic()
        self._news.set()

    def _frame_gone(self, fate: Fate, arrival: Arrival, told: Callable[[Fate], None]) -> None:
        lived = arrival.lived(self._clock.monotonic())
        if not fate.retained:
            self.lived.add(lived)
            observe(Metric.FRAME_LIVED, lived.total_seconds() * 1e3, **self._labels)
            count(Metric.FRAMES_DESTROYED, deployment=self.spec.deployment, camera=self.spec.camera, fate=fate.kind)
        gauge(Metric.FRAMES_IN_FLIGHT, self.frames.in_flight, **self._labels)
        self._gone.set()
        told(fate)

    def _track_gone(self, fate: Fate) -> None:
        count(Metric.TRACKS_DESTROYED, deployment=self.spec.deployment, camera=self.spec.camera, fate=fate.kind)
        self._gone.set()

    # The loop

    def wake(self) -> None:
        """Something changed: the link to detect, or whether another frame's life may begin."""
        self._news.set()

    async def run(self, life: FrameLife, turns: Turns) -> None:
        """Frame after frame, always the newest, until the camera is closing. Returns when all of them are gone, and
        what was to become evidence is sealed."""
        async with life.beside:
            missed_turn = False
            while not self.closing.is_set():
                await self._news.wait()
                self._news.clear()
                life.notice_detect()
                if self._newest is None or life.full:
                    continue
                await turns.take(first=missed_turn)
                try:
                    missed_turn = not await self._begin_newest(life)
                finally:
                    turns.give_back()

    async def _begin_newest(self, life: FrameLife) -> bool:
        """Returns when it is analysed; False if it was too old to be begun."""
        frame, self._newest = self._newest, None
        if frame is None:
            return True  # closed meanwhile
        now = self._clock.monotonic()
        old = frame.arrival.lived(now).total_seconds() > OLD_S
        if old and now - self._behind_at < BEHIND_S and now - self._began < STARVED_S:
            frame.destroy(_TOO_OLD)
            return False
        self._began = now
        await life.begin(frame, at_end=self.wake)
        return True

    def shut(self) -> None:
        """No frame enters any more; the one that waits is destroyed. Idempotent."""
        self.closing.set()
        waiting, self._newest = self._newest, None
        if waiting is not None:
            waiting.destroy(CUT_SHORT)
        self._news.set()

    async def until_drained(self) -> None:
        """Returns when nothing that entered is alive: all of it destroyed, or delivered as evidence."""
        while self.frames.in_flight or self.track_book.in_flight:
            self._gone.clear()
            await self._gone.wait()


class Visit:
    """One source's stay at a camera's door. Leave it in a `finally`."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self._last_sequence: int | None = None
        self._stays = True

    def admit(
        self,
        *,
        sequence: int,
        captured_at: datetime | None,
        picture: Callable[[], Picture],
        answer: Answer = lambda fate, arrival: None,
        traceparent: str = "",
    ) -> None:
        """One frame. `picture` checks and wraps it (Rejected: it is refused with that reason). `answer` is told
        exactly once, possibly before this returns.

        Raises instead, and the frame never entered: Rejected(CAMERA_CLOSED); Retryable while the ledger cannot
        be written.
        """
        if self.camera._admit(
            sequence=sequence,
            last_sequence=self._last_sequence,
            captured_at=captured_at,
            picture=picture,
            answer=answer,
            traceparent=traceparent,
        ):
            self._last_sequence = sequence

    @property
    def behind(self) -> bool:
        """Another frame now would only supersede the one that waits, or nobody is there to analyse any. From any
        thread. Who asks leaves frames out then."""
        camera = self.camera
        behind = camera._newest is not None or camera.senses.detect_away
        if behind:
            camera._behind_at = camera._clock.monotonic()
        return behind

    def pass_over(self, *, captured_at: datetime, reason: Reason | None = None) -> None:
        """One frame that came and was not decoded: entered, and destroyed as superseded; with a `reason` it could
        not be, and is rejected. Raises as `admit` does."""
        self.camera._pass_over(captured_at, reason)

    def leave(self) -> None:
        """Idempotent."""
        if self._stays:
            self._stays = False
            self.camera._leave()


class _Once:
    """Answers for a frame when it is analysed, or gone without that. Nothing that comes later is told: when a frame
    ends depends on whether there was a candidate in it."""

    __slots__ = ("_answer", "_arrival")

    def __init__(self, answer: Answer, arrival: Arrival) -> None:
        self._answer: Answer | None = answer
        self._arrival = arrival

    def __call__(self, fate: Fate | None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(fate, self._arrival)

    def analysed(self) -> None:
        self(None)
