"""The door: a descriptor for who knows the id and is the same user, and for nobody else; whatever is sent to it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from overt.errors import Fatal, Rejected, Retryable
from overt.reasons import Reason
from overt.ring import Ring, RingDoor, RingView
from overt.ring import door as doors
from overt.ring.wire import NO
from support.waiting import until

pytestmark = pytest.mark.unit


@pytest.fixture
def path() -> Iterator[Path]:
    """Short: a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="ov"))
    yield folder / "ring.sock"
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


@pytest.fixture
async def door(path: Path) -> AsyncIterator[RingDoor]:
    made = RingDoor()
    await made.start(path)
    yield made
    await made.close()
    assert not path.exists()


@pytest.fixture
def ring(door: RingDoor) -> Iterator[Ring]:
    made = Ring(3, 4096)
    door.admit(made)
    yield made
    door.withdraw(made)
    made.close()


async def _attach(path: Path, ring_id: str, timeout: float = 2) -> RingView:
    return await asyncio.to_thread(RingView.attach, path, ring_id, timeout)


async def _say(path: Path, said: bytes, *, end: bool = False) -> bytes:
    """What the door answers; b"" if it hangs up."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(said)
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_who_knows_the_id_gets_the_ring(door: RingDoor, ring: Ring, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lease = ring.lease()
    assert lease is not None
    lease.view[:5] = b"hello"
    views = await asyncio.gather(*(_attach(path, ring.id) for _ in range(10)))
    for view in views:
        with view.slot(lease.index, lease.generation, 5) as seen:
            assert bytes(seen) == b"hello"
        view.close()


async def test_a_ring_that_is_withdrawn_unknown_or_closed_is_not_to_be_had(
    door: RingDoor, ring: Ring, path: Path
) -> None:
    closed = Ring(3, 4096)
    door.admit(closed)
    closed.close()
    door.withdraw(ring)
    door.withdraw(ring)
    for ring_id in (ring.id, "0" * 32, closed.id, "", "short", "x" * 33, "\n" * 32, "é" * 32):
        with pytest.raises(Rejected) as refused:
            await _attach(path, ring_id)
        assert refused.value.reason is Reason.NO_RING


async def test_another_user_gets_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can be another user in a test: who asks is asked for, and the answer is put in."""
    asked: list[int] = []

    def is_ours(uid: int) -> bool:
        asked.append(uid)
        return False

    door, ring = RingDoor(is_ours=is_ours), Ring(3, 4096)
    await door.start(path)
    door.admit(ring)
    assert await _say(path, ring.id.encode() + b"\n") == b""
    with pytest.raises(Retryable):
        await _attach(path, ring.id)
    assert asked == [os.geteuid()] * 2
    await door.close()
    ring.close()


async def test_a_reader_takes_no_ring_from_another_user(
    door: RingDoor, ring: Ring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overt.ring.view.peer_uid", lambda connection: os.geteuid() + 1)
    with pytest.raises(Rejected) as refused:
        await _attach(path, ring.id)
    assert refused.value.reason is Reason.NO_RING


@pytest.mark.parametrize(
    "said",
    [
        lambda ring: b"\n",
        lambda ring: b"GET / HTTP/1.1\r\n\r\n",
        lambda ring: ring.id.encode() + b"x\n",
        lambda ring: ring.id.encode()[:-1] + b"\n",
        lambda ring: b"\xff" * 32 + b"\n",
        lambda ring: bytes(32) + b"\n",
        lambda ring: b"x" * 10_000_000,
    ],
    ids=["empty", "http", "long", "short", "no text", "zeros", "ten megabytes"],
)
async def test_nonsense_is_hung_up_on(door: RingDoor, ring: Ring, path: Path, said: Callable[[Ring], bytes]) -> None:
    assert await _say(path, said(ring)) in (b"", NO)
    assert await _say(path, said(ring), end=True) in (b"", NO)
    (await _attach(path, ring.id)).close()


async def test_who_says_nothing_or_not_enough_is_hung_up_on(
    door: RingDoor, ring: Ring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "PATIENCE_S", 0.1)
    began = time.monotonic()
    assert await asyncio.gather(_say(path, b""), _say(path, ring.id.encode())) == [b"", b""]
    assert 0.05 < time.monotonic() - began < 2


async def test_many_at_a_time_are_bounded_and_the_door_stays_open(
    door: RingDoor, ring: Ring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "PATIENCE_S", 30)
    monkeypatch.setattr(doors, "MOST_CONNECTIONS", 8)
    before = len(os.listdir("/proc/self/fd"))
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for one in crowd:
        one.setblocking(False)
        await asyncio.get_running_loop().sock_connect(one, str(path))
    await until(lambda: len(door._visitors) == 8)
    with pytest.raises(Retryable):
        await _attach(path, ring.id)
    assert len(door._visitors) == 8
    for one in crowd:
        one.close()
    await until(lambda: not door._visitors)
    (await _attach(path, ring.id)).close()
    # Fewer: what an earlier test left to the garbage collector may go meanwhile.
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_a_door_that_does_not_answer_costs_its_deadline(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(1)
        began = time.monotonic()
        with pytest.raises(Retryable):
            await _attach(path, "0" * 32, timeout=0.2)
        assert 0.15 < time.monotonic() - began < 2
    with pytest.raises(Retryable):
        await _attach(path, "0" * 32)  # nobody listens any more
    with pytest.raises(Retryable):
        await _attach(path.with_name("none"), "0" * 32)


async def test_an_answer_without_a_descriptor_or_with_two_leaks_nothing(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def answer(connection: socket.socket, sends: Callable[[socket.socket], object]) -> None:
        loop = asyncio.get_running_loop()
        with (await loop.sock_accept(connection))[0] as peer:
            await loop.sock_recv(peer, 100)
            sends(peer)

    with socket.socket(socket.AF_UNIX) as liar, tempfile.TemporaryFile() as null:
        liar.setblocking(False)
        liar.bind(str(path))
        liar.listen()
        for sends in (
            lambda peer: peer.send(b"\x01"),
            lambda peer: socket.send_fds(peer, [b"\x00"], [null.fileno()]),
            lambda peer: socket.send_fds(peer, [b"\x01"], [null.fileno(), null.fileno()]),
            lambda peer: socket.send_fds(peer, [b"\x01"], [null.fileno()]),
        ):
            answering = asyncio.create_task(answer(liar, sends))
            with pytest.raises(Rejected) as refused:
                await _attach(path, "0" * 32)
            assert refused.value.reason is Reason.NO_RING
            await answering
    assert len(os.listdir("/proc/self/fd")) == before


async def test_the_socket_of_a_dead_process_is_replaced_and_a_living_ones_is_not(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    door = RingDoor()
    await door.start(path)
    with pytest.raises(Fatal, match="OVERT_RING_SOCKET: another process listens"):
        await RingDoor().start(path)
    await door.close()
    await door.close()
    path.write_text("precious")
    with pytest.raises(Fatal, match="is not a socket"):
        await RingDoor().start(path)
    assert path.read_text() == "precious"
