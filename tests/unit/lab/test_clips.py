"""Reading a clip: what is no video says so, and where one is damaged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from overt.errors import Fatal
from overt_lab.camera import read_clip
from overt_lab.demo.cli import demo

pytestmark = pytest.mark.unit


def _video(path: Path, frames: int = 30) -> Path:
    chance = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25, 2))
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 1
        for _ in range(frames):
            picture = chance.integers(0, 255, (120, 160, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def test_a_clip_knows_its_rate_and_length(tmp_path: Path) -> None:
    clip = read_clip(_video(tmp_path / "clip.mp4"))
    assert (clip.frames_per_second, clip.frames) == (12.5, 30)
    pictures = list(clip.pictures)
    assert len(pictures) == 30
    assert pictures[0].shape == (120, 160, 3)
    assert pictures[0].dtype == np.uint8
    assert "[" not in repr(clip)


@pytest.mark.parametrize("content", [b"", b"no video at all", bytes(5000)])
def test_what_is_no_video_is_fatal_with_advice(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(Fatal, match=r"clip\.mp4 is not a video that can be read: give an MP4"):
        read_clip(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(Fatal, match="is not a video"):
        read_clip(path)


def test_a_damaged_clip_says_how_far_it_came(tmp_path: Path) -> None:
    pictures = iter(read_clip(_cut(_video(tmp_path / "clip.mp4"))).pictures)
    next(pictures)
    with pytest.raises(Fatal, match=r"is damaged: it cannot be decoded after \d+ pictures"):
        list(pictures)


def _cut(path: Path) -> Path:
    """The index stays, the pictures behind the first third are noise."""
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat"), data.index(b"moov")
    third = (end - start) // 3
    data[start + third : end - 8] = b"\x00" * (end - 8 - start - third)
    damaged = path.with_name("damaged.mp4")
    damaged.write_bytes(data)
    return damaged


def test_the_demo_looks_at_a_clip_before_it_starts_anything(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"no video at all")
    shown = CliRunner().invoke(demo, ["--video", str(clip), "--watchlist", str(tmp_path)])
    assert isinstance(shown.exception, Fatal)
    assert "is not a video" in str(shown.exception)
    assert "starting" not in shown.output
