"""Being refused, finding nobody, a server that hangs, a user that is taken away, a store that is encrypted."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from overt.api.match.v1.match_pb2 import Probe, SearchReply, SearchRequest
from overt.bus import BusAddress, NatsBus, connect
from overt.errors import Fatal, Retryable
from overt.subjects import DEPLOYMENTS, EVIDENCE, PREVIEW, SEARCH, Service
from support.nats import NatsServer

pytestmark = pytest.mark.integration

SUBJECT = EVIDENCE.of("dep-1", "cam")


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    running = NatsServer(tmp_path / "nats")
    running.start()
    yield running
    running.resume()
    running.stop()


async def _until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while True:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


async def _crash(server: NatsServer, *buses: NatsBus) -> None:
    """Killed and started again; returns when everybody is back."""
    await asyncio.to_thread(server.kill)
    await _until(lambda: not any(b.connected for b in buses))
    await asyncio.to_thread(server.start)
    await _until(lambda: all(b.connected for b in buses))


async def test_nobody_there_is_retryable_within_seconds() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = BusAddress(f"nats://127.0.0.1:{taken.getsockname()[1]}", "ingest", "p")
        began = time.monotonic()
        with pytest.raises(Retryable, match="OVERT_NATS_URL"):
            await connect(address, name="test")
        assert time.monotonic() - began < 3


async def test_a_wrong_password_is_fatal_and_says_what_to_check(own_server: NatsServer) -> None:
    for user, password in (("ingest", "wrong"), ("nobody", "p"), ("", "")):
        with pytest.raises(Fatal, match="OVERT_NATS_PASSWORD_FILE") as caught:
            await connect(BusAddress(own_server.url, user, password), name="test")
        assert "wrong" not in str(caught.value)


async def test_settings_are_an_address(own_server: NatsServer, tmp_path: Path) -> None:
    class Settings:
        nats_url = own_server.url
        nats_user = "alerts"
        nats_password_file: Path | None = tmp_path / "password"
        tls_ca_file: Path | None = None
        tls_certificate_file: Path | None = None
        tls_key_file: Path | None = None

    (tmp_path / "password").write_text(own_server.password(Service.ALERTS) + "\n")
    bus = await connect(Settings(), name="test")
    assert bus.connected
    await bus.close()
    Settings.nats_password_file = tmp_path / "missing"
    with pytest.raises(Fatal, match="OVERT_NATS_PASSWORD_FILE"):
        await connect(Settings(), name="test")


def test_an_address_does_not_show_its_password() -> None:
    assert "secret" not in repr(BusAddress("nats://h:1", "ingest", "secret"))


async def test_a_server_that_hangs_is_noticed(own_server: NatsServer) -> None:
    told = asyncio.Event()
    alerts = await connect(own_server.address(Service.ALERTS), name="test")
    ingest = await connect(own_server.address(Service.INGEST), name="test", on_loss=told.set)
    try:
        await alerts.steward.ensure_operation()
        await alerts.steward.ensure("dep-1")
        own_server.pause()
        began = time.monotonic()
        with pytest.raises(Retryable):
            await ingest.append(SUBJECT, bytes(1_000_000), timeout=timedelta(seconds=1))
        assert time.monotonic() - began < 4
        # More than the sockets hold, so that closing the connection waits for what cannot be sent.
        for _ in range(40):
            try:
                await ingest.publish(PREVIEW.of("dep-1", "cam"), bytes(1_000_000))
            except Retryable:
                break
        await _until(lambda: not ingest.connected and not alerts.connected, seconds=20)
        # It tries to connect again, while what it wrote still cannot be sent.
        await asyncio.wait_for(told.wait(), 10)
        own_server.resume()
        await _until(lambda: ingest.connected and alerts.connected, seconds=20)
        assert await ingest.append(SUBJECT, b"x", timeout=timedelta(seconds=5)) >= 1
    finally:
        own_server.resume()
        await ingest.close()
        await alerts.close()


async def test_a_user_that_is_taken_away_ends_the_bus_for_good(own_server: NatsServer) -> None:
    bus = await connect(own_server.address(Service.GATEWAY), name="test")
    lost = asyncio.create_task(bus.until_lost())
    config = own_server.directory / "nats-server.conf"
    config.write_text(config.read_text().replace("$OVERT_NATS_PASSWORD_GATEWAY", "another"))
    os.kill(own_server.pid, signal.SIGHUP)
    try:
        await asyncio.wait_for(lost, 15)
    finally:
        await bus.close()


async def test_what_was_appended_survives_a_kill(own_server: NatsServer) -> None:
    alerts = await connect(own_server.address(Service.ALERTS), name="test")
    ingest = await connect(own_server.address(Service.INGEST), name="test")
    try:
        await alerts.steward.ensure_operation()
        await alerts.steward.ensure("dep-1")
        for n in range(20):
            await ingest.append(SUBJECT, f"message {n}".encode())
        await _crash(own_server, alerts, ingest)
        stored = await alerts.last(EVIDENCE, "dep-1", SUBJECT)
        assert stored is not None
        assert stored.data == b"message 19"
    finally:
        await ingest.close()
        await alerts.close()


async def _ready(server: NatsServer) -> tuple[NatsBus, NatsBus, NatsBus]:
    alerts = await connect(server.address(Service.ALERTS), name="test")
    ingest = await connect(server.address(Service.INGEST), name="test")
    match = await connect(server.address(Service.MATCH), name="test")
    await alerts.steward.ensure_operation()
    await alerts.steward.ensure("dep-1")
    return alerts, ingest, match


def _on_disk(server: NatsServer, needle: bytes) -> bool:
    """What vanishes while it is looked at is not there: the server removes a deleted stream's folder at leisure."""
    for folder, _, files in os.walk(server.store_dir):
        for name in files:
            try:
                if needle in Path(folder, name).read_bytes():
                    return True
            except FileNotFoundError:
                pass
    return False


async def test_erasing_takes_the_bytes_off_the_disk(own_server: NatsServer) -> None:
    alerts, ingest, match = await _ready(own_server)
    try:
        first, second = b"FIRST-EVIDENCE" * 50, b"SECOND-EVIDENCE" * 50
        sequence = await ingest.append(SUBJECT, first)
        await ingest.append(SUBJECT, second)
        await match.objects("dep-1").put("list", b"SEALED-LIST" * 50_000)
        await match.objects("dep-1").delete("list")
        # The scanner sees what is there, an object that was only deleted included.
        assert _on_disk(own_server, b"FIRST-EVIDENCE")
        assert _on_disk(own_server, b"SECOND-EVIDENCE")
        assert _on_disk(own_server, b"SEALED-LIST")
        await alerts.steward.erase(EVIDENCE, "dep-1", sequence)
        assert not _on_disk(own_server, b"FIRST-EVIDENCE")
        assert _on_disk(own_server, b"SECOND-EVIDENCE")
        await alerts.steward.purge_stream(EVIDENCE, "dep-1")
        await _until(lambda: not _on_disk(own_server, b"SECOND-EVIDENCE"), seconds=2)
        await alerts.steward.delete_objects("dep-1")
        await _until(lambda: not _on_disk(own_server, b"SEALED-LIST"), seconds=2)
    finally:
        for bus in (alerts, ingest, match):
            await bus.close()


async def test_core_subjects_leave_nothing_on_disk(own_server: NatsServer) -> None:
    alerts, ingest, match = await _ready(own_server)
    try:
        probe, jpeg = b"TEMPLATE-OF-A-PASSER-BY" * 20, b"PREVIEW-OF-A-STREET" * 20

        async def answer(_: str, request: SearchRequest) -> SearchReply:
            return SearchReply(sealed_entry_card=request.probes[0].template)

        await match.serve(SEARCH, SearchRequest, answer, name="search")
        for _ in range(20):
            request = SearchRequest(probes=[Probe(template=probe)])
            reply = await ingest.request(SEARCH.of("dep-1"), request, SearchReply, timeout=timedelta(seconds=1))
            assert reply.sealed_entry_card == probe
            await ingest.publish(PREVIEW.of("dep-1", "cam"), jpeg)
        # One message that is stored, so that the server has written.
        await ingest.append(SUBJECT, b"STORED-EVIDENCE")
        assert _on_disk(own_server, b"STORED-EVIDENCE")
        assert not _on_disk(own_server, b"PASSER-BY")
        assert not _on_disk(own_server, b"PREVIEW-OF")
    finally:
        for bus in (alerts, ingest, match):
            await bus.close()


async def test_an_encrypted_store_shows_nothing(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "encrypted", encrypted=True)
    buses: list[NatsBus] = []
    try:
        server.start()
        alerts, ingest, match = await _ready(server)
        buses += alerts, ingest, match
        await ingest.append(SUBJECT, b"EVIDENCE" * 100)
        assert not _on_disk(server, b"EVIDENCEEVIDENCE")
        await _crash(server, alerts, ingest, match)
        stored = await alerts.last(EVIDENCE, "dep-1", SUBJECT)
        assert stored is not None
        assert stored.data == b"EVIDENCE" * 100
    finally:
        for bus in buses:
            await bus.close()
        server.stop()


async def test_the_buckets_watch_survives_two_restarts(own_server: NatsServer) -> None:
    alerts, ingest, match = await _ready(own_server)
    gateway = await connect(own_server.address(Service.GATEWAY), name="test")
    seen: list[tuple[str, bytes | None]] = []

    async def follow() -> None:
        async for change in ingest.bucket(DEPLOYMENTS).watch():
            seen.append((change.key, change.value))

    following = asyncio.create_task(follow())
    try:
        for n in range(3):
            await gateway.bucket(DEPLOYMENTS).create(f"dep-{n}", b"x")
            await _until(lambda n=n: (f"dep-{n}", b"x") in seen)
            await _crash(own_server, gateway, ingest)
        assert sorted(seen) == [("", None), *((f"dep-{n}", b"x") for n in range(3))]
    finally:
        following.cancel()
        for bus in (alerts, ingest, match, gateway):
            await bus.close()


def test_a_server_for_tests_dies_with_them(tmp_path: Path) -> None:
    """Even if pytest is killed: the next run is not to find it."""
    script = (
        "import os, pathlib, signal, sys; from support.nats import NatsServer; "
        "server = NatsServer(pathlib.Path(sys.argv[1])); server.start(); print(server.pid, flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    tests = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", script, str(tmp_path)]
    died = subprocess.run(command, capture_output=True, text=True, cwd=tests, timeout=30, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    deadline = time.monotonic() + 10
    while _alive(died.stdout.strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _alive(pid: str) -> bool:
    """A zombie is not: whoever inherited it may be slow to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
