"""Sealed evidence waits at most 60 s and 64 MB for the bus, and what is lost is lost loudly."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from overt.api.alerts.v1 import alerts_pb2
from overt.errors import Rejected, Retryable
from overt.reasons import Reason
from overt.testing.virtual_time import LoopClock, run_virtually
from overt_ingest.adapters.outbox import LONGEST_WAIT_S, MOST_WAITING_BYTES, BusOutbox
from overt_ingest.domain.books import FRAME_ORDER, TRACK_ORDER, OpenBook
from overt_ingest.domain.faces import Box
from overt_ingest.domain.sighting import Exhibit, Pictures
from overt_ingest.ports import SealedEvidence

pytestmark = pytest.mark.unit


class Bus:
    """Of the bus, what the outbox uses; `troubles` are raised first, in order."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.away = False
        self.refusing = ""
        """A deployment whose stream takes nothing now."""
        self.append_takes = 0.001
        self.stored: list[tuple[str, str, str]] = []

    async def append(
        self, subject: str, payload: Any, *, message_id: str | None = None, timeout: timedelta = timedelta(seconds=5)
    ) -> int:
        await asyncio.sleep(self.append_takes)
        if self.away or (self.refusing and f".{self.refusing}." in subject):
            raise Retryable("away")
        if self.troubles:
            raise self.troubles.pop(0)
        assert isinstance(payload, alerts_pb2.SealedEvidence)
        self.stored.append((subject, payload.alert_id, message_id or ""))
        return len(self.stored)


class Stage:
    def __init__(self, bus: Bus) -> None:
        self.frames, self.tracks = OpenBook(FRAME_ORDER), OpenBook(TRACK_ORDER)
        self.outbox = BusOutbox(bus, clock=LoopClock())  # type: ignore[arg-type]  # of the bus only `append` is used

    def post(self, name: str, size: int = 100, *, deployment: str = "dep") -> None:
        exhibit = Exhibit(
            Pictures(b"c", b"s", Box(0, 0, 1, 1), Box(0, 0, 1, 1)), frame=self.frames.enter(), track=self.tracks.enter()
        )
        exhibit.sealed()
        self.outbox.post(SealedEvidence(name, f"{name}/t", deployment, "cam", bytes(size)), exhibit)

    def told(self) -> tuple[int, int, int]:
        """Retained, lost, waiting."""
        book = self.frames.snapshot()
        assert book.conserved()
        assert self.tracks.snapshot().conserved()
        assert book.retained == self.tracks.snapshot().retained
        return book.retained, book.reasons.get("expired/evidence_lost", 0), self.outbox.waiting


def test_it_delivers_in_order_and_again_after_trouble() -> None:
    async def play() -> None:
        bus = Bus(Retryable("away"), Retryable("away"))
        stage = Stage(bus)
        running = asyncio.create_task(stage.outbox.run())
        stage.post("a")
        stage.post("b")
        assert stage.told() == (0, 0, 2)
        await asyncio.sleep(3)
        assert stage.told() == (2, 0, 0)
        assert bus.stored == [("overt.evidence.dep.cam", "a", "a/t"), ("overt.evidence.dep.cam", "b", "b/t")]
        running.cancel()

    run_virtually(play())


def test_after_a_minute_it_is_lost_and_later_evidence_still_arrives() -> None:
    async def play() -> None:
        bus = Bus()
        bus.away = True
        stage = Stage(bus)
        running = asyncio.create_task(stage.outbox.run())
        stage.post("old")
        await asyncio.sleep(LONGEST_WAIT_S - 5)
        stage.post("new")
        assert stage.told() == (0, 0, 2)
        await asyncio.sleep(7)
        assert stage.told() == (0, 1, 1)
        bus.away = False
        await asyncio.sleep(3)
        assert stage.told() == (1, 1, 0)
        running.cancel()

    run_virtually(play())


def test_a_deployment_whose_stream_refuses_does_not_hold_up_another() -> None:
    async def play() -> None:
        bus = Bus()
        bus.refusing = "full"
        stage = Stage(bus)
        running = asyncio.create_task(stage.outbox.run())
        stage.post("a", deployment="full")
        stage.post("b")
        await asyncio.sleep(0.01)
        stage.post("c", deployment="full")
        stage.post("d")
        await asyncio.sleep(0.01)
        assert [alert for _, alert, _ in bus.stored] == ["b", "d"]
        bus.refusing = ""
        await asyncio.sleep(3)
        assert [alert for _, alert, _ in bus.stored] == ["b", "d", "a", "c"]
        running.cancel()

    run_virtually(play())


def test_a_slow_refusal_does_not_stretch_the_minute() -> None:
    async def play() -> None:
        bus = Bus()
        bus.away, bus.append_takes = True, 4.9
        stage = Stage(bus)
        running = asyncio.create_task(stage.outbox.run())
        stage.post("a")
        await asyncio.sleep(LONGEST_WAIT_S + 0.01)
        assert stage.told() == (0, 1, 0)
        running.cancel()

    run_virtually(play())


def test_there_is_room_for_64_megabytes_and_the_oldest_gives_way() -> None:
    async def play() -> None:
        bus = Bus()
        bus.away = True
        stage = Stage(bus)
        running = asyncio.create_task(stage.outbox.run())
        size = 512 * 1024
        fits = MOST_WAITING_BYTES // size
        for number in range(fits):
            stage.post(f"a{number}", size)
        await asyncio.sleep(0.01)
        assert stage.told() == (0, 0, fits)
        stage.post("b", size)
        stage.post("c", size)
        assert stage.told() == (0, 2, fits)
        bus.away = False
        await asyncio.sleep(5)
        assert stage.told() == (fits, 2, 0)
        assert [alert for _, alert, _ in bus.stored][:2] == ["a2", "a3"]
        running.cancel()

    run_virtually(play())


def test_what_the_bus_will_never_take_is_lost_at_once() -> None:
    async def play() -> None:
        stage = Stage(Bus(Rejected(Reason.MESSAGE_TOO_LARGE, "no")))
        running = asyncio.create_task(stage.outbox.run())
        stage.post("a")
        stage.post("b")
        await asyncio.sleep(0.1)
        assert stage.told() == (1, 1, 0)
        running.cancel()

    run_virtually(play())


@pytest.mark.parametrize("turns", range(1, 7))
def test_what_waits_at_the_end_of_the_process_is_lost_and_counted(turns: int) -> None:
    async def play() -> None:
        bus = Bus()
        bus.away = True
        stage = Stage(bus)
        running = asyncio.create_task(stage.outbox.run())
        stage.post("a")
        stage.post("b")
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait((running,))
        assert stage.told() == (0, 2, 0)

    run_virtually(play())
