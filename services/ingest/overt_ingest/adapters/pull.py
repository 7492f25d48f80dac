"""Cameras that are pulled: RTSP(S) and HTTP(S) through PyAV, in a thread of their own.

The URL may hold a password. It is handed to PyAV and goes nowhere else: FFmpeg's own log is off, and of its
errors, whose messages quote the URL, only the type is told.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import av
import av.logging
from av.container import InputContainer
from av.video.frame import VideoFrame
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import get_logger

from overt_ingest.adapters.pixels import pulled_picture
from overt_ingest.camera import Visit
from overt_ingest.domain.deployments import CameraSpec

log = get_logger(__name__)

SCHEMES = frozenset({"rtsp", "rtsps", "http", "https"})

OPEN_TIMEOUT_S = 5.0
STALL_S = 5.0
"""A source without a frame for this long is dropped and opened again."""

BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 30.0
_STEADY_S = 10.0

_TAKE_OVER_S = 2.0
"""How long the decoder waits for the event loop to take a frame; longer means that the process is ending."""

# A playlist or session description may name any URL: of what FFmpeg can read, only the network is allowed.
_PROTOCOLS = "rtsp,rtsps,tcp,tls,http,https,httpproxy,crypto"


class PulledSource:
    """The source of one camera. `feed` runs until cancelled."""

    def __init__(self, spec: CameraSpec, *, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock

    async def feed(self, visit: Visit) -> None:
        """Opens the source, feeds its frames to the visit, and opens it again, 1 to 30 s later, when it ends,
        stalls or fails. With a URL that is no camera's the camera stays blind: files are never a source here."""
        names = {"deployment": self._spec.deployment, "camera": self._spec.camera}
        if _scheme(self._spec.source_url) not in SCHEMES:
            visit.camera.senses.source_trouble = Reason.BAD_FIELD
            log.error("source_refused", reason=Reason.BAD_FIELD, **names)
            await asyncio.Event().wait()
        av.logging.set_level(None)
        pause = BACKOFF_FIRST_S
        sequence = 0
        while True:
            began = time.monotonic()
            pulling = _Pulling(self._spec.source_url, visit, self._clock, sequence)
            trouble = await pulling.run()
            sequence = pulling.sequence
            visit.camera.senses.source_trouble = trouble.reason
            log.warning("source_lost", reason=trouble.reason, error=trouble.error or None, **names)
            if pulling.got_frames and time.monotonic() - began > _STEADY_S:
                pause = BACKOFF_FIRST_S
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MOST_S, pause * 2)


class _Trouble:
    """Why a source was dropped: a reason and the type of the error, never its message."""

    __slots__ = ("error", "reason")

    def __init__(self, reason: Reason, error: str = "") -> None:
        self.reason = reason
        self.error = error


class _Pulling:
    """One connection to a source and the thread that decodes it."""

    def __init__(self, url: str, visit: Visit, clock: Clock, sequence: int) -> None:
        self._url = url
        self._visit = visit
        self._clock = clock
        self.sequence = sequence
        self.got_frames = False
        self._frame_at = asyncio.get_running_loop().time()
        self._stop = threading.Event()

    async def run(self) -> _Trouble:
        """Until the source is lost. On cancellation the thread is told to end; it has let go of its frame when
        this returns, unless it is stuck in the network, where it has none."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[_Trouble] = loop.create_future()

        def tell(trouble: _Trouble) -> None:
            if not ended.done():
                ended.set_result(trouble)

        def told(trouble: _Trouble) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, trouble)

        # A daemon: a peer that neither sends nor closes must not keep the process from ending.
        threading.Thread(target=self._pull, args=(loop, told), name="pull", daemon=True).start()
        try:
            return await self._watch(ended, loop)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait((ended,), timeout=0.5)
            raise

    async def _watch(self, ended: asyncio.Future[_Trouble], loop: asyncio.AbstractEventLoop) -> _Trouble:
        """What ended it, or that no frame came in time: FFmpeg's own timeouts are seconds late at times."""
        while True:
            left = self._frame_at + (STALL_S if self.got_frames else OPEN_TIMEOUT_S + STALL_S) - loop.time()
            if left <= 0:
                # The thread ends by itself when FFmpeg notices; it hands nothing over any more.
                self._stop.set()
                return _Trouble(Reason.SOURCE_STALLED)
            await asyncio.wait((ended,), timeout=min(left, STALL_S))
            if ended.done():
                return ended.result()

    def _pull(self, loop: asyncio.AbstractEventLoop, told: Callable[[_Trouble], None]) -> None:
        """In the thread. The trouble is told before the connection is closed: closing may wait for the peer."""
        with ExitStack() as closing:
            try:
                container = av.open(self._url, mode="r", timeout=(OPEN_TIMEOUT_S, STALL_S), options=_options(self._url))
                closing.callback(container.close)
                told(self._decode(container, loop))
            except (TimeoutError, av.error.ExitError):
                told(_Trouble(Reason.SOURCE_STALLED, "TimeoutError"))
            except (av.error.FFmpegError, OSError, ValueError) as error:
                told(_Trouble(Reason.SOURCE_LOST, type(error).__name__))

    def _decode(self, container: InputContainer, loop: asyncio.AbstractEventLoop) -> _Trouble:
        if not container.streams.video:
            return _Trouble(Reason.NOT_A_PICTURE, "no_video")
        stream = container.streams.video[0]
        # Frame threads would hold pictures back; slices of one picture may be decoded side by side.
        stream.thread_type = "SLICE"
        for packet in container.demux(stream):
            if self._stop.is_set():
                return _Trouble(Reason.CAMERA_CLOSED)
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                frames = []  # a damaged packet: the next key frame mends it
            for frame in frames:
                self.sequence += 1
                trouble = self._hand_over(frame, loop)
                if trouble is not None:
                    return trouble
            del frames
        return _Trouble(Reason.SOURCE_LOST, "end")

    def _hand_over(self, frame: VideoFrame, loop: asyncio.AbstractEventLoop) -> _Trouble | None:
        """Waits until the event loop has taken the frame: one at a time, so nothing piles up."""
        taken = threading.Event()
        refusal: list[Reason] = []
        holder = [frame]
        captured_at = self._clock.now()

        def take() -> None:
            try:
                if holder and not self._stop.is_set():
                    got = holder.pop()
                    self.got_frames = True
                    self._frame_at = loop.time()
                    self._visit.admit(
                        sequence=self.sequence, captured_at=captured_at, picture=lambda: pulled_picture(got)
                    )
            except Rejected as rejected:
                refusal.append(rejected.reason)
            except Retryable:
                refusal.append(Reason.LEDGER_AWAY)
            finally:
                taken.set()

        try:
            loop.call_soon_threadsafe(take)
        except RuntimeError:
            return _Trouble(Reason.CAMERA_CLOSED)
        del frame
        if not taken.wait(_TAKE_OVER_S):
            holder.clear()
            return _Trouble(Reason.SOURCE_STALLED, "loop")
        return _Trouble(refusal[0]) if refusal else None


def _scheme(url: str) -> str:
    """In lower case; empty where there is none, or the URL is malformed. What parses it may quote it: not told."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _options(url: str) -> dict[str, str]:
    options = {"protocol_whitelist": _PROTOCOLS, "fflags": "nobuffer", "flags": "low_delay"}
    microseconds = str(int(OPEN_TIMEOUT_S * 1_000_000))
    if _scheme(url) in ("rtsp", "rtsps"):
        # TCP: with UDP a lost packet is a smeared face. FFmpeg's own timeout is for its reads and writes.
        return options | {"rtsp_transport": "tcp", "timeout": microseconds}
    return options | {"rw_timeout": microseconds}
