"""What would stop the last service stops the machine before the first one is started; and what stops it again."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.subjects import Service
from overt.testing import FakeClock
from overt_lab import machine as machine_module
from overt_lab.machine import SERVICE_TOKEN_RENEWAL, Machine, Options, _check_free
from overt_lab.stopping import finished
from support.waiting import until

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


async def test_whatever_befell_the_renewal_everything_is_stopped(tmp_path: Path) -> None:
    machine = Machine(Options(data=tmp_path))
    stopped: list[bool] = []

    async def stop() -> None:
        stopped.append(machine.layout.run.exists())

    async def renewal() -> None:
        raise RuntimeError("a defect")

    machine.supervisor.stop = stop  # type: ignore[method-assign]
    machine._renewal = asyncio.create_task(renewal())
    await asyncio.wait({machine._renewal})
    with pytest.raises(RuntimeError, match="a defect"):
        await machine.down()
    assert stopped == [True]
    assert not machine.layout.run.exists()
    await machine.down()


async def test_tokens_are_renewed_by_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "_LOOK_EVERY_S", 0.005)
    clock, said = FakeClock(), list[str]()
    machine = Machine(Options(data=tmp_path), say=said.append, clock=clock)
    machine._issuer = machine._make_issuer()
    token = machine.layout.token(Service.INGEST)
    machine._renewal = asyncio.create_task(machine._renew_tokens())

    async def renewed() -> bool:
        token.unlink(missing_ok=True)
        await asyncio.sleep(0.05)
        return token.exists()

    assert not await renewed()
    clock.advance(SERVICE_TOKEN_RENEWAL)
    await until(token.exists)
    assert not await renewed(), "once is enough"
    clock.jump(clock.now() - timedelta(seconds=5))
    await until(token.exists)

    # A directory in the way: not even root can write the token.
    token.unlink()
    (in_the_way := token.with_name(token.name + ".new")).mkdir()
    clock.advance(SERVICE_TOKEN_RENEWAL)
    await until(lambda: len(said) >= 2)
    assert "cannot be renewed" in said[0]
    assert str(machine.layout.run) in said[0]
    in_the_way.rmdir()
    await until(token.exists)
    await machine.down()


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
