"""What a decoder that falls behind its source does: it catches up, or drops up to the next key frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt_ingest.adapters.backlog import CATCH_UP_S, LATE_S, LONGEST_BLIND_S, MOST_BYTES, Arrived, Backlog, Next

pytestmark = pytest.mark.unit

BEGIN = datetime(2026, 5, 1, 10, tzinfo=UTC)


@dataclass(frozen=True)
class FakePacket:
    number: int
    is_keyframe: bool = False
    size: int = 1000


class Line:
    """A backlog and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.backlog: Backlog[FakePacket] = Backlog(lambda: self.now)
        self.number = 0

    def put(self, *, key: bool = False, size: int = 1000) -> None:
        captured_at = BEGIN + timedelta(seconds=self.now)
        self.backlog.put(Arrived(FakePacket(self.number, key, size), captured_at, self.now))
        self.number += 1

    def take(self) -> tuple[int | None, int]:
        """The packet's number, and how many were dropped before it."""
        taken = self.backlog.take()
        return None if taken.arrived is None else taken.arrived.packet.number, len(taken.dropped)


def test_packets_come_out_as_they_came_in_while_the_decoder_keeps_up() -> None:
    line = Line()
    for number in range(20):
        line.put(key=number == 0)
        line.now += 0.04
        assert line.take() == (number, 0)


def test_a_decoder_that_was_held_up_catches_up_without_losing_anything() -> None:
    line = Line()
    for number in range(10):
        line.put(key=number == 0)
        line.now += 0.04
    late = []
    for number in range(10):
        taken = line.backlog.take()
        assert taken.arrived is not None
        assert (taken.arrived.packet.number, taken.dropped) == (number, ())
        late.append(taken.late)
        line.now += 0.003
    assert late[0]
    assert not late[-1]


def test_one_that_does_not_catch_up_drops_up_to_the_next_key_frame() -> None:
    line = Line()
    line.put(key=True)
    taken, dropped = [], 0
    for _ in range(60):
        number, lost = line.take()
        dropped += lost
        taken.append(number)
        for _ in range(3):  # decoding takes three times as long as the pictures do
            line.now += 0.04
            line.put(key=line.number % 50 == 0)
    assert dropped
    after = [number for number in taken if number is not None]
    assert after == sorted(after)
    gaps = [following for number, following in pairwise(after) if following != number + 1]
    assert gaps
    assert all(number % 50 == 0 for number in gaps), "what is decoded after a gap is a key frame"
    assert len(after) + dropped <= line.number


def test_a_late_decoder_goes_on_at_the_newest_key_frame_that_is_here() -> None:
    line = Line()
    for number in range(12):
        line.put(key=number in (0, 4, 9))
    line.now += LATE_S + 0.01
    assert line.take() == (9, 9)
    assert line.take() == (10, 0)


def test_of_pictures_that_each_stand_alone_a_late_decoder_takes_the_newest() -> None:
    line = Line()
    for _ in range(12):
        line.put(key=True)
        line.now += 0.04
    assert line.take() == (11, 11)


def test_while_it_waits_for_a_key_frame_what_it_drops_is_told_at_once() -> None:
    line = Line()
    for _ in range(5):
        line.put()
    line.now += LATE_S + 0.01
    assert line.take() == (0, 0)
    line.now += CATCH_UP_S + 0.01
    assert line.take() == (None, 4)
    for _ in range(3):
        line.put()
        assert line.take() == (None, 1)
    line.put(key=True)
    assert line.take() == (8, 0)
    line.put()
    assert line.take() == (9, 0)


def test_a_stream_without_key_frames_is_not_waited_for_for_ever() -> None:
    line = Line()
    line.put()
    line.put()
    line.now += LATE_S + 0.01
    line.take()
    line.now += CATCH_UP_S + 0.01
    assert line.take() == (None, 1)
    line.now += LONGEST_BLIND_S + 0.01
    line.put()
    assert line.take() == (2, 0)


def test_it_holds_no_more_than_so_many_bytes() -> None:
    line = Line()
    for _ in range(5):
        line.put(size=MOST_BYTES // 4)
    assert line.take() == (None, 5)
    line.put()
    assert line.take() == (None, 1)
    line.put(key=True)
    assert line.take() == (6, 0)


def test_when_the_source_ends_what_waits_is_decoded_first() -> None:
    line = Line()
    line.put(key=True)
    line.backlog.end()
    line.put()
    taken = line.backlog.take()
    assert taken.arrived is not None
    assert not taken.ended
    assert line.backlog.take() == Next(None, ended=True)


def test_whoever_waits_is_told_when_it_ends() -> None:
    line = Line()
    told: list[Next[FakePacket]] = []
    waiting = threading.Thread(target=lambda: told.append(line.backlog.take()))
    waiting.start()
    line.backlog.clear()
    waiting.join(5)
    assert [one.ended for one in told] == [True]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("put", "key", "take", "wait", "hang")), st.integers(1, 300)), max_size=120))
def test_every_packet_comes_out_or_is_dropped_once(steps: list[tuple[str, int]]) -> None:
    line = Line()
    out: list[int] = []
    dropped: list[datetime] = []
    waiting = 0
    for what, amount in steps:
        if what in ("put", "key"):
            line.put(key=what == "key", size=MOST_BYTES // 3 if amount == 300 else 1000)
            waiting = 1
        elif what == "take" and waiting:
            taken = line.backlog.take()
            dropped += taken.dropped
            out += [taken.arrived.packet.number] if taken.arrived is not None else []
            waiting = line.number - len(out) - len(dropped)
        else:
            line.now += amount / 1000 * (10 if what == "hang" else 1)
    line.backlog.end()
    while not (taken := line.backlog.take()).ended:
        dropped += taken.dropped
        out += [taken.arrived.packet.number] if taken.arrived is not None else []
    dropped += taken.dropped
    assert len(out) + len(dropped) == line.number
    assert out == sorted(set(out))
