"""A clip as a surveillance camera would have encoded it, made in memory before anything is measured.

Films are encoded with B-pictures: a picture that refers to a later one. It cannot be shown before that one is there,
so every picture of such a stream is 0.1 to 0.2 s old before anybody can see it, and the last ones of a pass stay in the
decoder until the next pass comes. Surveillance cameras do not do that.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from overt.errors import Fatal

_KEY_FRAME_EVERY_S = 2.0
_OPTIONS = {
    "preset": "veryfast",
    "crf": "20",
    "bf": "0",
    "sc_threshold": "0",
    "x264-params": "rc-lookahead=0:sync-lookahead=0:sliced-threads=0",
}


def encoded_anew(path: Path) -> io.BytesIO:
    """An MP4 with H.264: no B-pictures, a key frame every two seconds. Fatal if the clip cannot be decoded, or nothing
    here encodes H.264. Takes about 30 ms a full-HD picture."""
    made = io.BytesIO()
    try:
        with av.open(str(path)) as source, av.open(made, "w", format="mp4") as target:
            shown = source.streams.video[0]
            shown.thread_type = "AUTO"
            rate = Fraction(shown.average_rate or shown.guessed_rate or 25)
            stream = target.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = (
                shown.width - shown.width % 2,
                shown.height - shown.height % 2,
                "yuv420p",
            )
            stream.options = {**_OPTIONS, "g": str(max(1, round(rate * Fraction(_KEY_FRAME_EVERY_S))))}
            for number, frame in enumerate(source.decode(shown)):
                picture = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
                picture.pts, picture.time_base = number, 1 / rate
                target.mux(stream.encode(picture))
            target.mux(stream.encode())
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise Fatal(f"{path} cannot be encoded anew: it is no video, is damaged, or libx264 is not here") from error
    made.seek(0)
    return made


def flat_pictures(like: Any, number: int) -> list[bytes]:
    """Grey pictures of a codec context's size, encoded without B-pictures, parameter sets in the first of them and
    every unit behind its length or a start code, as in that context's stream. Empty where it is not H.264."""
    if like.name != "h264":
        return []
    annex_b = int(not (like.extradata or b"").startswith(b"\x01"))
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = like.width, like.height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {**_OPTIONS, "x264-params": f"{_OPTIONS['x264-params']}:repeat-headers=1:annexb={annex_b}"}
    made = []
    for place in range(number):
        frame = av.VideoFrame.from_ndarray(np.full((like.height * 3 // 2, like.width), 128, np.uint8), "yuv420p")
        frame.pts = place
        made += encoder.encode(frame)
    return [bytes(packet) for packet in [*made, *encoder.encode(None)]]
