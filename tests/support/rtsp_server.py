"""An RTSP server for tests: GStreamer's, with a moving test picture in H.264.

Run by the system's Python, which has its bindings, as a script of its own:
    /usr/bin/python3 rtsp_server.py ADDRESS_FILE [--port N] [--user NAME --password WORD] [--size WxH]
Writes its port to ADDRESS_FILE when it serves rtsp://127.0.0.1:PORT/live. Ends with the process that started it.
"""

import argparse
import ctypes
import os
import signal

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

_PR_SET_PDEATHSIG = 1


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("address_file")
    options.add_argument("--port", default="0")
    options.add_argument("--user")
    options.add_argument("--password")
    options.add_argument("--size", default="320x240")
    given = options.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    Gst.init(None)
    width, height = given.size.split("x")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(given.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( videotestsrc is-live=true pattern=ball "
        f"! video/x-raw,width={width},height={height},framerate=25/1 ! videoconvert "
        "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 )"
    )
    factory.set_shared(True)
    if given.user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(given.user, given.password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        raise SystemExit(f"cannot listen on port {given.port}")
    with open(given.address_file + ".new", "w") as file:
        file.write(str(server.get_bound_port()))
    os.replace(given.address_file + ".new", given.address_file)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
