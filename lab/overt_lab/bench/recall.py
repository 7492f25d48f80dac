"""From what the witness noted to what was shown to whom: which picture of the clip each answer is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from overt_lab.bench.people import Box, Shown, placed
from overt_lab.bench.source import Feed, Sent
from overt_lab.bench.witness import Note

_LATEST_S, _EARLIEST_S = 0.05, 1.0
"""A picture is captured, by ingest's clock, when it has been sent, or up to this much later: a decoder gives pictures
back in another order than they come in, and a reader may be slow. The boxes then say which of these it is."""


def camera_name(number: int) -> str:
    return f"cam-{number}"


def whole_passes(feeds: Sequence[Feed], began: float, ended: float) -> set[tuple[int, int]]:
    """(camera, pass) of those that were sent in full between two moments (seconds since 1970)."""
    found = set()
    for feed in feeds:
        starts = {sent.round: sent.at for sent in reversed(feed.log)}
        for number, at in starts.items():
            if at >= began and starts.get(number + 1, float("inf")) <= ended:
                found.add((feed.number, number))
    return found


def shown(notes: Iterable[Note], feeds: Sequence[Feed], everybody: Mapping[int, Sequence[Box]]) -> list[Shown]:
    """`everybody`: the peers' boxes by picture. An answer without a face, or whose picture cannot be told, is none."""
    by_name = {camera_name(feed.number): feed for feed in feeds}
    logs = {name: list(feed.log) for name, feed in by_name.items()}
    found = []
    for note in notes:
        feed = by_name.get(note.camera)
        if feed is None:
            continue
        recent = _around(logs[note.camera], note.captured_at)
        place = placed(note.boxes, [sent.place for sent in recent], everybody)
        if place is None:
            continue
        turn = next(sent.round for sent in reversed(recent) if sent.place == place)
        found.append(Shown((feed.number, turn), place, note.boxes, note.shots))
    return found


def _around(log: Sequence[Sent], captured_at: float) -> list[Sent]:
    earliest, latest = captured_at - _EARLIEST_S, captured_at + _LATEST_S
    return [sent for sent in log if earliest <= sent.at <= latest]
