"""What would stop the last service stops the machine before the first one is started; and what stops it again."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt_lab.machine import Machine, Options, _check_free
from overt_lab.stopping import finished

pytestmark = pytest.mark.integration


def _doors(listen: str, camera: str = "127.0.0.1:0") -> dict[str, str]:
    return {"--listen": listen, "--camera-listen": camera}


def test_free_doors_stay_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        _check_free(_doors(f"127.0.0.1:{port}", "localhost:0"))


@pytest.mark.parametrize("option", ["--listen", "--camera-listen"])
def test_a_taken_door_names_its_option(option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Fatal, match=rf"cannot listen on {address} \(the port is taken\): .*{option};"):
            _check_free({**_doors("127.0.0.1:0"), option: address})


def test_both_doors_cannot_be_one() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(Fatal, match="--camera-listen"):
        _check_free(_doors(address, address))


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.7:80", "example.org:80", "unix:/run/x.sock"])
def test_only_loopback_is_listened_on_without_tls(address: str) -> None:
    with pytest.raises(Fatal, match=r"--listen: on one machine nothing speaks TLS"):
        _check_free(_doors(address))


@pytest.mark.parametrize("address", ["", "8600", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:80"])
def test_what_is_no_address_says_what_one_looks_like(address: str) -> None:
    with pytest.raises(Fatal, match="--listen: "):
        _check_free(_doors(address))


async def test_a_machine_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options in (Options(data=tmp_path / "file" / "data"), Options(data=tmp_path / "d", gateway_listen="x")):
        machine = Machine(options)
        assert machine.layout.run.stat().st_mode & 0o777 == 0o700
        with pytest.raises(Fatal):
            await machine.up()
        assert not machine.layout.run.exists()
        await machine.down()
    assert not (tmp_path / "d" / "running.json").exists()


# --- work that ends with a signal -------------------------------------------------------------------------------


async def test_work_that_is_done_is_finished() -> None:
    assert await finished(asyncio.sleep(0), asyncio.Event())


async def test_work_is_cancelled_and_waited_for_when_told_to_stop() -> None:
    stop, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert not await finished(work(), stop)
    assert ended.is_set()
    assert not await finished(work(), stop), "and what is begun after that"


async def test_the_trouble_of_the_work_is_told() -> None:
    async def work() -> None:
        raise Fatal("no")

    with pytest.raises(Fatal, match="no"):
        await finished(work(), asyncio.Event())


async def test_the_work_ends_with_whoever_waits_for_it() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(finished(work(), asyncio.Event()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
