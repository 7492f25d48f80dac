"""With the store's encryption off: no picture is ever on disk in clear, and what is erased is gone to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from overt.api.control.v1 import control_pb2
from overt.crypto import FileKeyring
from overt.ids import alert_key_id, list_key_id
from overt.subjects import ALERT, Service
from overt.testing.forensics import scan
from support.alerts_process import AlertsProcess
from support.evidence import REASON, RIVAL_REF, SUBJECT_REF, Sighted, jpeg
from support.nats import NatsServer
from support.waiting import until

pytestmark = pytest.mark.privacy

RUN = 48
"""Bytes of something random that are looked for: they are nowhere by chance."""
PARTS = ("probe", "reference", "scene", "rival_reference", "record.1")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[AlertsProcess]:
    nats = NatsServer(tmp_path / "nats", encrypted=False)
    made = AlertsProcess(nats, tmp_path / "alerts")
    try:
        nats.start()
        yield made
    finally:
        made.close()
        nats.stop()


def runs(data: bytes) -> list[bytes]:
    """From its beginning, middle and end."""
    return [data[at : at + RUN] for at in (20, len(data) // 2, len(data) - RUN)]


def on_disk(folder: Path, needles: Sequence[bytes]) -> list[str]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    contents = {p: p.read_bytes() for p in files}
    return [p.name for p, data in contents.items() for needle in needles if needle in data]


async def test_what_is_erased_is_gone(service: AlertsProcess, tmp_path: Path) -> None:
    store = service.nats.store_dir
    await service.start()
    public = await service.prepare("market")
    await service.put("market", retention=timedelta(seconds=6))
    one = Sighted(public, at=datetime.now(UTC), rival="6b0e7c1c-9a43-4d0e-8a35-222222222222")
    message = one.message()
    again = replace(one, track="stream-2", at=one.at + timedelta(seconds=1))

    # The scanner sees the sealed evidence while it lies there: the service must be stopped for that.
    assert await service.stop() == 0
    async with service.bus(Service.INGEST) as ingest:
        await ingest.append(one.subject, message)
    assert on_disk(store, runs(message.sealed))
    await service.start()

    async def raised() -> bool:
        return len(await service.listed("market")) == 1

    await until(raised)
    await until(lambda: service.is_taken_in(one))
    assert on_disk(store, runs(message.sealed)) == [], "the transport's bytes are gone"

    async with service.bus(Service.ALERTS) as bus:
        stored = [await bus.last(ALERT, "market", ALERT.of("market", one.alert_id, part)) for part in PARTS]
    sealed = [run for message in stored if message for run in runs(message.data)]
    assert len(sealed) == 3 * len(PARTS)
    assert len(on_disk(store, sealed)) == len(sealed), "sealed under the alert's own key, they are there"

    # A record that is replaced leaves nothing either.
    await service.send(again)

    async def joined() -> bool:
        return [len(a.sightings) for a in await service.listed("market")] == [2]

    await until(joined)
    await until(lambda: service.is_taken_in(again))
    first_record = runs(stored[-1].data if stored[-1] else b"")
    assert on_disk(store, first_record) == []
    nothing_in_clear(tmp_path, one)

    async def expired() -> bool:
        async with service.bus(Service.ALERTS) as bus:
            left = [await bus.last(ALERT, "market", ALERT.of("market", one.alert_id, p)) for p in (*PARTS, "record.2")]
            return left == [None] * len(left)

    await until(expired)
    assert on_disk(store, sealed) == [], "after its time not even the ciphertext is left"
    nothing_in_clear(tmp_path, one)


def nothing_in_clear(folder: Path, one: Sighted) -> None:
    """Neither the store, the keyring's directory nor the log."""
    pictures = [run for picture in one.pictures.values() for run in runs(picture)]
    words = [w.encode() for w in (SUBJECT_REF, RIVAL_REF, one.entry_id, one.rival, REASON) if w]
    assert on_disk(folder, [*pictures, *words]) == []
    assert [f for f in scan([folder]) if f.what in ("jpeg", "png")] == []


async def test_the_scanner_would_have_seen_it(service: AlertsProcess) -> None:
    """A picture published in clear, on purpose."""
    await service.start()
    await service.prepare("market")
    picture = jpeg(7)
    async with service.bus(Service.ALERTS) as bus:
        await bus.append(ALERT.of("market", "x", "probe"), picture)
    assert on_disk(service.nats.store_dir, runs(picture))
    assert [f.what for f in scan([service.nats.store_dir])] == ["jpeg"]


async def test_the_list_is_gone_after_the_end(service: AlertsProcess) -> None:
    store = service.nats.store_dir
    await service.start()
    await service.prepare("market")
    await service.put("market")
    part = jpeg(5, 300_000)
    async with service.bus(Service.MATCH) as match:
        await match.objects("market").put("part-1", part)
        await match.objects("market").put("part-2", jpeg(6))
        await match.objects("market").delete("part-2")
    needles = [*runs(part), *runs(jpeg(6))]
    assert len(on_disk(store, needles)) == len(needles), "an object that is deleted is still there"
    await service.put("market", control_pb2.Deployment.STATE_ENDED)
    await until(lambda: on_disk(store, needles) == [])
    assert not [p for p in store.rglob("*") if p.is_dir() and p.name == "OBJ_list_market"]


async def test_no_key_is_anywhere_but_in_the_keyring(service: AlertsProcess, tmp_path: Path) -> None:
    """Not in the store, not in the log; and in the keyring's files only wrapped."""
    await service.start()
    public = await service.prepare("market")
    await service.put("market")
    one = Sighted(public)
    await service.send(one)
    await until(lambda: service.is_taken_in(one))
    assert await service.stop() == 0
    ring = FileKeyring(service.data_dir / "keyring")
    keys = [ring.get(alert_key_id("market", one.alert_id)), ring.get(list_key_id("market", 1))]
    ring.close()
    texts = [key.hex().encode() for key in keys]
    assert on_disk(tmp_path, [*keys, *texts]) == []
