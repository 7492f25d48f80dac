"""Cameras that are pulled: RTSP(S) and HTTP(S) through PyAV, in threads of their own.

The URL may hold a password. It is handed to PyAV and goes nowhere else: FFmpeg's own log is off, and of its
errors, whose messages quote the URL, only the type is told.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import av.logging
from overt.reasons import Reason
from overt.runtime import Clock
from overt.telemetry import get_logger

from overt_ingest.adapters.decoding import MOST_PIXELS
from overt_ingest.adapters.pulling import OPEN_TIMEOUT_S, Pulling
from overt_ingest.camera import Visit
from overt_ingest.domain.deployments import CameraSpec

log = get_logger(__name__)

SCHEMES = frozenset({"rtsp", "rtsps", "http", "https"})

BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 30.0
_STEADY_S = 10.0

# A playlist or session description may name any URL: of what FFmpeg can read, only the network is allowed.
_PROTOCOLS = "rtsp,rtsps,tcp,tls,http,https,httpproxy,crypto"


_SYSTEM_AUTHORITIES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
"""Debian's and Alpine's, Red Hat's."""


def authorities(*chosen: Path | None) -> Path | None:
    """A PEM file of those that may vouch for cameras: the first that was chosen, else the system's, if there is one."""
    system = ssl.get_default_verify_paths().cafile
    candidates = (*(path for path in chosen if path is not None), *([Path(system)] if system else []))
    return next((path for path in (*candidates, *_SYSTEM_AUTHORITIES) if path.is_file()), None)


class PulledSource:
    """The source of one camera. `feed` runs until cancelled."""

    def __init__(self, spec: CameraSpec, *, clock: Clock, authorities: Path | None = None) -> None:
        """`authorities`: a PEM file. A camera whose address is rtsps or https has to show a certificate of theirs for
        the host of its address; without the file any certificate will do, and the log says so."""
        self._spec = spec
        self._clock = clock
        self._authorities = authorities

    async def feed(self, visit: Visit) -> None:
        """Opens the source, feeds its frames to the visit, and opens it again, 1 to 30 s later, when it ends,
        stalls or fails. With a URL that is no camera's the camera stays blind: files are never a source here."""
        names = {"deployment": self._spec.deployment, "camera": self._spec.camera}
        if _scheme(self._spec.source_url) not in SCHEMES:
            visit.camera.senses.source_trouble = Reason.BAD_FIELD
            log.error("source_refused", reason=Reason.BAD_FIELD, **names)
            await asyncio.Event().wait()
        av.logging.set_level(None)
        options = _options(self._spec.source_url, self._authorities)
        if _scheme(self._spec.source_url) in ("rtsps", "https") and self._authorities is None:
            log.warning("camera_not_verified", **names)
        pause = BACKOFF_FIRST_S
        sequence = 0
        while True:
            began = time.monotonic()
            pulling = Pulling(self._spec.source_url, options, visit, self._clock, sequence=sequence)
            trouble = await pulling.run()
            sequence = pulling.sequence
            visit.camera.senses.source_trouble = trouble.reason
            log.warning("source_lost", reason=trouble.reason, error=trouble.error or None, **names)
            if pulling.got_frames and time.monotonic() - began > _STEADY_S:
                pause = BACKOFF_FIRST_S
            await asyncio.sleep(pause)
            pause = min(BACKOFF_MOST_S, pause * 2)


def _scheme(url: str) -> str:
    """In lower case; empty where there is none, or the URL is malformed. What parses it may quote it: not told."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _options(url: str, authorities: Path | None) -> dict[str, str]:
    # Without these FFmpeg looks at the first second of a stream to guess its frame rate, and what it has looked at is
    # lost or comes a second late: with the first key frame, that is a blind camera up to the next one.
    options = {"protocol_whitelist": _PROTOCOLS, "fpsprobesize": "0", "analyzeduration": "1000000"}
    # For this look, which may decode a picture; the decoder itself has a bound of its own.
    options |= {"max_pixels": str(MOST_PIXELS)}
    if authorities is not None and _scheme(url) in ("rtsps", "https"):
        options |= {"tls_verify": "1", "ca_file": str(authorities)}
    microseconds = str(int(OPEN_TIMEOUT_S * 1_000_000))
    if _scheme(url) in ("rtsp", "rtsps"):
        # TCP: with UDP a lost packet is a smeared face. FFmpeg's own timeout is for its reads and writes.
        return options | {"rtsp_transport": "tcp", "timeout": microseconds}
    return options | {"rw_timeout": microseconds}
