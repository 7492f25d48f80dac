"""What chaos calls unharmed, and that its killer ends with the round."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np
import pytest
from overt_lab import chaos
from overt_lab.demo.run import Outcome
from overt_lab.machine import Machine

pytestmark = pytest.mark.unit


class _Services:
    """A machine whose services only count how often they are killed."""

    def __init__(self, *, fails: bool = False) -> None:
        self.killed = 0
        self._fails = fails

    @property
    def supervisor(self) -> _Services:
        return self

    def __getitem__(self, name: str) -> _Services:
        return self

    def kill(self) -> None:
        if self._fails:
            raise KeyError("nobody of that name")
        self.killed += 1


def _killing(services: _Services, kills: int) -> Any:
    return chaos.killing(cast(Machine, services), kills, np.random.default_rng(1))


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "_GAP_S", (0.0, 0.001))


@pytest.mark.parametrize(
    ("alerted", "unharmed"),
    [
        (["alder", "juniper"], True),
        (["juniper", "alder"], True),
        (["alder"], False),
        (["alder", "juniper", "alder"], False),
        (["alder", "juniper", "rowan"], False),
        ([], False),
    ],
)
def test_everyone_expected_has_one_alert(alerted: list[str], unharmed: bool) -> None:
    books = {"conserved": True, "tracks": {"conserved": True}, "in_flight": 0}
    outcome = Outcome(expected=["alder", "juniper"], ledger=books)
    alerts = [{"subject_ref": name} for name in alerted]
    assert chaos.unharmed(outcome, alerts) is unharmed
    for broken in ({"in_flight": 1}, {"conserved": False}, {"tracks": {"conserved": False}}):
        assert not chaos.unharmed(Outcome(expected=outcome.expected, ledger={**books, **broken}), alerts)


async def test_it_kills_as_often_as_it_is_told() -> None:
    services = _Services()
    async with _killing(services, 5) as killer:
        await asyncio.wait({killer})
    assert services.killed == 5


async def test_a_round_that_fails_ends_the_killing() -> None:
    services = _Services()
    with pytest.raises(RuntimeError, match="the round"):
        async with _killing(services, 1_000_000) as killer:
            raise RuntimeError("the round")
    assert killer.cancelled()


async def test_what_goes_wrong_in_the_killer_is_told() -> None:
    with pytest.raises(KeyError):
        async with _killing(_Services(fails=True), 5) as killer:
            await asyncio.wait({killer})
