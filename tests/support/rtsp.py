"""A real RTSP server for tests, when the system has the packages for one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from overt.runtime.supervisor import on_a_leash

PYTHON = "/usr/bin/python3"
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-ugly gstreamer1.0-x"
)
_PROBE = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "missing = [n for n in ('x264enc', 'rtph264pay', 'videotestsrc', 'videoconvert') "
    "if not Gst.ElementFactory.find(n)]; raise SystemExit(' '.join(missing))"
)


def need_rtsp() -> None:
    """Skips the test where there is no RTSP server to be had; in CI that is a failure instead."""
    try:
        probe = subprocess.run([PYTHON, "-c", _PROBE], capture_output=True, text=True, timeout=60)
        why = probe.stderr.strip().splitlines()[-1:] if probe.returncode else []
    except OSError:
        why = [f"no {PYTHON}"]
    if why:
        told = f"not run: no RTSP server ({why[0]}). As root: apt-get install {PACKAGES}"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)


class RtspServer:
    """`kill` and `start` again keep the port: a camera that lost its power."""

    def __init__(self, directory: Path, *, user: str = "", password: str = "", size: str = "320x240") -> None:
        self._directory = directory
        self._more = ["--size", size, *(["--user", user, "--password", password] if user else [])]
        self._login = f"{user}:{password}@" if user else ""
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"rtsp://{self._login}127.0.0.1:{self.port}/live"

    def start(self) -> None:
        file = self._directory / "rtsp_port"
        file.unlink(missing_ok=True)
        script = Path(__file__).with_name("rtsp_server.py")
        command = [PYTHON, str(script), str(file), "--port", str(self.port), *self._more]
        with (self._directory / "rtsp.log").open("ab") as log:
            self._process = subprocess.Popen(on_a_leash(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError((self._directory / "rtsp.log").read_text()[-2000:])
            time.sleep(0.02)
        self.port = int(file.read_text())

    def pause(self) -> None:
        """It keeps its connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)
