"""OVERT_RING_SOCKET of both services: the same path, or none; and where one machine puts it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from overt.errors import Fatal
from overt.settings import ServiceSettings, load
from overt.subjects import Service
from overt.swap import swap_is_on
from overt_detect.settings import Settings as DetectSettings
from overt_ingest.settings import Settings as IngestSettings
from overt_lab.machine import Machine, Options

pytestmark = pytest.mark.unit

BOTH = pytest.mark.parametrize("settings", [IngestSettings, DetectSettings])


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("OVERT_"):
            monkeypatch.delenv(name)
    key = tmp_path / "issuer.pem"
    key.write_text("public")
    monkeypatch.setenv("OVERT_ISSUER_PUBLIC_KEY_FILE", str(key))
    monkeypatch.setenv("OVERT_DETECT_ADDRESS", "unix:/run/detect.sock")


@BOTH
def test_there_is_none_unless_it_is_set(settings: type[ServiceSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(settings).ring_socket is None  # type: ignore[attr-defined]
    monkeypatch.setenv("OVERT_RING_SOCKET", "/run/overt/ring.sock")
    assert load(settings).ring_socket == Path("/run/overt/ring.sock")  # type: ignore[attr-defined]


@BOTH
@pytest.mark.parametrize("value", ["ring.sock", "unix:/run/ring.sock", "/" + "x" * 107, "/" + "é" * 54])
def test_it_is_an_absolute_path_that_a_socket_can_have(
    settings: type[ServiceSettings], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERT_RING_SOCKET", value)
    with pytest.raises(Fatal, match=r"OVERT_RING_SOCKET: .*wants an absolute path of at most 107 bytes"):
        load(settings)


def test_on_one_machine_both_have_the_same_and_nobody_else(tmp_path: Path) -> None:
    machine = Machine(Options(data=tmp_path))
    told = {s: machine._service(s, {}).environment.get("OVERT_RING_SOCKET") for s in Service}
    machine.layout.run.rmdir()
    assert told.pop(Service.INGEST) == told.pop(Service.DETECT) == str(machine.layout.ring)
    assert set(told.values()) == {None}


def test_swap_that_is_on_or_cannot_be_known(tmp_path: Path) -> None:
    swaps = tmp_path / "swaps"
    assert swap_is_on(swaps)
    swaps.write_text("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
    assert not swap_is_on(swaps)
    with swaps.open("a") as more:
        more.write("/dev/vda2 partition 1048572 0 -2\n")
    assert swap_is_on(swaps)
