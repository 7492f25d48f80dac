"""A clip over HTTP, pass after pass, as ingest's decoder sees it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import pytest
from overt.errors import Fatal
from overt_lab.bench.footage import GAP_S, Footage, Remuxer, open_footage
from overt_lab.bench.recall import whole_passes
from overt_lab.bench.source import Source
from overt_lab.bench.unread import age_ms, queued
from support.films import grey, write_film
from support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FRAMES, RATE = 10, 50


@pytest.fixture(params=[0, 2], ids=["no-b-frames", "b-frames"])
def footage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Footage]:
    film = write_film(tmp_path / "grey.mp4", grey(FRAMES), RATE, bframes=request.param)
    with open_footage(film) as opened:
        yield opened


@pytest.fixture
async def source(footage: Footage) -> AsyncIterator[Source]:
    served = Source(footage, 2)
    await served.start()
    yield served
    await served.close()


def _port(source: Source) -> int:
    return int(source.url(0).split(":")[2].split("/")[0])


def _decode(url: str, count: int, timeout: float = 10.0) -> list[float]:
    """Presentation times, seconds, of the first pictures."""
    with av.open(url, timeout=timeout) as container:
        stream = container.streams.video[0]
        found = []
        for frame in container.decode(stream):
            found.append(float(frame.pts * stream.time_base))
            if len(found) == count:
                return found
    raise AssertionError("the source ended")


async def test_passes_follow_one_another_on_one_clock(source: Source, footage: Footage) -> None:
    """In silence or, where a decoder would keep the last pictures back, behind a covered lens."""
    a_pass = FRAMES + len(footage.cap)
    times = await asyncio.to_thread(_decode, source.url(0), 2 * a_pass + 3)
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert sum(step > GAP_S for step in steps) == (0 if footage.cap else 2)
    assert all(step == pytest.approx(1 / RATE, abs=1e-3) for step in steps if step < GAP_S)
    feed = source.feeds[0]
    assert feed.connections == 1
    assert feed.sent >= 2 * a_pass + 3
    assert {sent.place for sent in feed.log} == set(range(a_pass))
    assert source.held_back == 0


def test_the_lens_is_covered_where_pictures_refer_to_later_ones(footage: Footage) -> None:
    reorders = any(packet.pts != packet.dts - footage.packets[0].dts for packet in footage.packets)
    assert len(footage.cap) == (round(GAP_S * RATE) if reorders else 0)
    assert footage.own_part == pytest.approx(FRAMES / (FRAMES + len(footage.cap)))
    assert footage.packets[0].is_key
    assert all(packet.due_s < footage.pass_s for packet in footage.cap)


def test_a_picture_whose_length_its_header_cannot_tell_is_announced_to_be_over_twice(footage: Footage) -> None:
    remuxer = Remuxer(footage)
    first, second = footage.packets[:2]
    large = replace(first, data=first.data + bytes(70_000))
    remuxer.muxed(large, later_s=0)
    twice = remuxer.announced(second, later_s=0, after=large)
    once = remuxer.announced(second, later_s=0.1, after=first)
    assert (twice.count(b"\x01\x09\xf0"), once.count(b"\x01\x09\xf0")) == (2, 1)
    remuxer.close()


async def test_cameras_fall_out_of_step_and_passes_are_known(source: Source, footage: Footage) -> None:
    readers = [asyncio.create_task(asyncio.to_thread(_decode, source.url(n), 4 * FRAMES)) for n in (0, 1)]
    await asyncio.gather(*readers)
    starts = [[s.at for s in feed.log if s.place == 0][1] for feed in source.feeds]
    assert abs(starts[1] - starts[0] - footage.pass_s / 2) < 0.3
    logged = source.feeds[0].log
    whole = whole_passes(source.feeds[:1], logged[0].at - 1, logged[-1].at + 1)
    assert {number for _, number in whole} == set(range(logged[-1].round))


async def test_what_a_reader_leaves_is_seen_and_grows_older(source: Source) -> None:
    feed = source.feeds[0]
    loop = asyncio.get_running_loop()
    with socket.socket() as reader:
        reader.setblocking(False)
        await loop.sock_connect(reader, ("127.0.0.1", _port(source)))
        await loop.sock_sendall(reader, b"GET /0.ts HTTP/1.1\r\n\r\n")

        def age() -> float:
            waiting = queued([feed.ports]).get(feed.ports, 0) if feed.ports else 0
            return age_ms(feed.written, waiting + feed.unsent(), loop.time())

        await until(lambda: age() > 300)
    await until(lambda: feed.ports is None)  # it has noticed that the reader is gone


async def test_what_cannot_be_sent_is_held_back_until_the_next_key_frame(source: Source, footage: Footage) -> None:
    source._most_unsent = 0
    feed = source.feeds[0]
    _, writer = await asyncio.open_connection("127.0.0.1", _port(source))
    writer.write(b"GET /0.ts HTTP/1.1\r\n\r\n")
    await until(lambda: feed.held_back >= 3)
    assert feed.sent == 0
    source._most_unsent = 1_000_000
    assert feed.round == 1
    await until(lambda: feed.sent >= 1)
    # Nothing before it could have been decoded.
    assert (feed.round, feed.log[0].place) == ((1, FRAMES) if footage.cap else (2, 0))
    assert source.offered == feed.sent + feed.held_back
    writer.close()


async def test_another_address_is_not_found(source: Source) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(source))
    writer.write(b"GET /etc/passwd HTTP/1.1\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()


def test_encoded_anew_nothing_refers_to_a_later_picture(tmp_path: Path) -> None:
    film = write_film(tmp_path / "grey.mp4", grey(FRAMES), RATE, bframes=2)
    with open_footage(film) as before, open_footage(film, anew=True) as after:
        assert [packet.place for packet in before.packets] != list(range(FRAMES))
        assert [packet.place for packet in after.packets] == list(range(FRAMES))
        assert (after.width, after.height, after.frames_per_second) == (320, 240, RATE)


def test_what_is_no_camera_video_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(Fatal, match="not a video"), open_footage(tmp_path / "text.mp4"):
        pass
    with pytest.raises(Fatal, match="not there"), open_footage(tmp_path / "none.mp4"):
        pass
    gif = tmp_path / "moving.gif"
    with av.open(str(gif), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.pix_fmt, stream.width, stream.height = "rgb8", 64, 64
        for picture in grey(3, 64, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="rgb8")))
        container.mux(stream.encode())
    with pytest.raises(Fatal, match="no camera sends"), open_footage(gif):
        pass
    with open_footage(gif, anew=True) as footage:
        assert len(footage.packets) == 3
    with pytest.raises(Fatal, match="cannot be encoded"), open_footage(tmp_path / "text.mp4", anew=True):
        pass
