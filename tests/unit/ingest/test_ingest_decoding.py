"""Every packet becomes one picture or is given up once, in whatever order pictures come out, whatever is skipped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import av
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt_ingest.adapters.backlog import Arrived
from overt_ingest.adapters.decoding import MOST_DELAY, Decoder
from support.videos import encoded, moving

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 5, 1, 10, tzinfo=UTC)

Packets = Sequence["av.Packet[Any]"]


class Screen:
    """What came of the packets, by their numbers from 0 on."""

    def __init__(self, codec: str = "h264") -> None:
        self.decoder = Decoder(av.CodecContext.create(codec, "r"))  # type: ignore[arg-type]  # of video
        self.sent = 0
        self.shown: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self.lost: list[int] = []
        self.damaged: list[int] = []
        self.reasons: set[Reason] = set()
        self.held = 0

    def send(self, packets: Packets) -> None:
        for packet in packets:
            arrived = Arrived(packet, BEGIN + timedelta(seconds=self.sent), float(self.sent))
            self.sent += 1
            try:
                self._note(self.decoder.decode(arrived))
            except Rejected as rejected:
                self.damaged.append(self.sent - 1)
                self.reasons.add(rejected.reason)
            self._note_lost()

    def end(self) -> None:
        self._note(self.decoder.drain())
        self.decoder.begin_anew()
        self._note_lost()
        everything = [*self.shown, *self.lost, *self.damaged]
        assert sorted(everything) == list(range(self.sent)), "each packet once"

    def _note(self, pictures: Any) -> None:
        for shown in pictures:
            self.shown.append(self._number(shown.captured_at))
            picture = shown.take()
            self.sizes.append((picture.width, picture.height))

    def _note_lost(self) -> None:
        self.lost += [self._number(captured_at) for captured_at in self.decoder.lost()]

    @staticmethod
    def _number(captured_at: datetime) -> int:
        return round((captured_at - BEGIN).total_seconds())


def test_pictures_that_come_out_in_another_order_have_the_arrivals_of_their_packets() -> None:
    packets = encoded(moving(40), bf="3", g="20")
    screen = Screen()
    screen.send(packets)
    screen.end()
    assert [packets[number].pts for number in screen.shown] == list(range(40)), "in the order in which they are shown"
    assert screen.shown != sorted(screen.shown), "which is not that of the packets"
    assert screen.lost == []


def test_without_reordering_a_picture_comes_out_with_its_own_packet() -> None:
    screen = Screen()
    for number, packet in enumerate(encoded(moving(10), tune="zerolatency")):
        screen.send([packet])
        assert screen.shown == list(range(number + 1))


def test_what_is_skipped_is_given_up_as_soon_as_a_later_picture_is_out() -> None:
    packets = encoded(moving(60), bf="3", g="60")
    screen = Screen()
    screen.send(packets[:20])
    screen.decoder.skip(True)
    screen.send(packets[20:40])
    assert screen.lost, "told while the stream goes on"
    screen.decoder.skip(False)
    screen.send(packets[40:])
    screen.end()
    assert 5 <= len(screen.lost) <= 20
    assert all(20 <= number < 40 for number in screen.lost)
    shown = [packets[number].pts or 0 for number in screen.shown]
    assert shown == sorted(shown)


def test_after_a_gap_it_begins_anew_and_what_it_held_back_is_lost() -> None:
    packets = encoded(moving(60), bf="3", g="20", sc_threshold="0")
    keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    screen = Screen()
    screen.decoder.begin_anew()  # before the first packet: nothing happens
    screen.send(packets[:10])
    held_back = 10 - len(screen.shown)
    assert held_back
    screen.decoder.begin_anew()
    screen.send(packets[keys[1] :])
    screen.end()
    assert len(screen.lost) == held_back
    assert len(screen.shown) == 10 - held_back + len(packets[keys[1] :])


def test_a_damaged_packet_is_refused_and_the_next_key_frame_mends_the_picture() -> None:
    packets = encoded(moving(40), tune="zerolatency", g="10")
    broken = av.Packet(b"\x00\x00\x00\x01\x65 this is no slice of a picture")
    broken.pts = packets[11].pts
    screen = Screen()
    screen.send([*packets[:11], broken, *packets[12:]])
    screen.end()
    assert set(screen.damaged) | set(screen.lost) == {11}
    assert screen.reasons <= {Reason.NOT_A_PICTURE}
    assert set(range(20, 40)) <= set(screen.shown)


@pytest.mark.parametrize("options", [{"tune": "zerolatency"}, {"bf": "3"}])
def test_a_camera_that_changes_its_resolution_goes_on(options: dict[str, str]) -> None:
    small, large = encoded(moving(10, 320, 240), **options), encoded(moving(10, 640, 480), **options)
    for packet in large:
        packet.pts = None if packet.pts is None else packet.pts + 10
    screen = Screen()
    screen.send([*small, *large])
    screen.end()
    assert screen.sizes == [(320, 240)] * 10 + [(640, 480)] * 10
    assert screen.lost == []


@pytest.mark.parametrize(("codec", "pixel_format"), [("h264", "yuv420p"), ("hevc", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded_and_the_next_one_is_shown(
    codec: str, pixel_format: str
) -> None:
    encoder = {"h264": "libx264", "hevc": "libx265"}.get(codec, codec)
    options = {"h264": {"preset": "ultrafast", "tune": "zerolatency"}}.get(codec, {})
    if codec == "hevc":
        options = {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"}
    how: dict[str, Any] = {"codec": encoder, "pixel_format": pixel_format, **options}
    small, large = encoded(moving(2), **how), encoded(moving(2, 5120, 4096), **how)
    screen = Screen(codec)
    screen.send([*small, *large, *small])
    screen.end()
    assert screen.sizes == [(320, 240)] * 4
    assert screen.damaged == [2, 3]
    assert screen.reasons == {Reason.PICTURE_TOO_LARGE}


@pytest.mark.parametrize("options", [{"tune": "zerolatency"}, {"bf": "3"}])
def test_whoever_takes_a_picture_has_the_only_reference(options: dict[str, str]) -> None:
    """Also while the decoder has others in its hands, or waits for a source that is silent."""
    screen, taken = Screen(), 0
    for packet in encoded(moving(10), **options):
        for shown in screen.decoder.decode(Arrived(packet, BEGIN, 0.0)):
            picture = shown.take()
            assert sys.getrefcount(picture) == 2, "ours, and that of the call"
            taken += 1
    assert taken


def test_timestamps_that_begin_again_lose_nothing() -> None:
    packets = encoded(moving(15), bf="3", g="15")
    again = encoded(moving(15), bf="3", g="15")
    screen = Screen()
    screen.send([*packets, *again])
    screen.end()
    assert len(screen.shown) == 30
    assert screen.lost == []


def test_without_timestamps_what_was_skipped_is_given_up_after_a_while() -> None:
    packets = encoded(moving(MOST_DELAY * 3), bf="3", g="1000")
    for packet in packets:
        packet.pts = packet.dts = None
    screen = Screen()
    screen.decoder.skip(True)
    screen.send(packets)
    assert screen.lost
    screen.end()
    assert len(screen.shown) < len(packets)


def test_motion_jpeg_needs_no_packet_for_another() -> None:
    screen = Screen("mjpeg")
    assert screen.decoder.every_packet_stands_alone
    assert not Screen().decoder.every_packet_stands_alone
    packets = encoded(moving(5), codec="mjpeg", pixel_format="yuvj420p")
    screen.send([packets[0], packets[3], packets[4]])
    screen.end()
    assert screen.shown == [0, 1, 2]


def test_many_decoders_at_once_do_not_mix_up_their_marks() -> None:
    """PyAV keeps the marks of all decoders in one table."""
    packets = [encoded(moving(30), bf="2", g="30") for _ in range(4)]
    screens = [Screen() for _ in packets]
    for row in zip(*packets, strict=True):
        for screen, packet in zip(screens, row, strict=True):
            screen.send([packet])
    for screen in screens:
        screen.end()
    assert all(screen.shown == screens[0].shown for screen in screens)
    assert all(a != b for a, b in pairwise(screens[0].shown))
