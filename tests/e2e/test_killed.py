"""Processes killed with -9 in the middle of a run: it goes on, comes back and balances."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from overt.permissions import Role
from overt_lab.camera import Clip
from overt_lab.demo.cli import THRESHOLD, builtin_clip, builtin_list
from overt_lab.demo.run import DEPLOYMENT, Outcome, Stage
from overt_lab.machine import Machine
from support.machine import gateway, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def _kill_when_due(machine: Machine, plan: list[tuple[float, str]]) -> None:
    start = asyncio.get_running_loop().time()
    for due, name in plan:
        await asyncio.sleep(max(0.0, start + due - asyncio.get_running_loop().time()))
        machine.supervisor[name].kill()


async def test_the_run_survives_every_kill(tmp_path: Path) -> None:
    # The walk-through shows its two listed people in seconds 0-5 and 5-10, so that an alert exists before alerts is
    # killed, another one is on its way while it is down, and detect and match die under people who walk.
    plan = [(5.6, "alerts"), (12.0, "detect"), (17.0, "match"), (19.5, "alerts")]
    outcome = Outcome(expected=["alder", "juniper"])
    async with running(tmp_path) as machine:
        stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
        await stage.open(builtin_list())
        clip = builtin_clip()
        async with stage.watching(lambda alert: None):
            killer = asyncio.create_task(_kill_when_due(machine, plan))
            await stage.play(Clip(clip.pictures, clip.frames_per_second))
            await killer
            await until("every service is back", lambda: _all_alive(machine), seconds=30)

            async def both_are_there() -> bool:
                async with gateway(machine, Role.OPERATOR) as operator:
                    known = await operator.alerts(DEPLOYMENT)
                return {a["subject_ref"] for a in known} == {"alder", "juniper"} and len(known) == 2

            await until("both alerts, once each", both_are_there, seconds=30)
        await stage.end()

    assert [name for name, _ in machine.deaths] == ["alerts", "detect", "match", "alerts"]
    assert outcome.good, outcome
    assert outcome.ledger["in_flight"] == 0
    declared = sorted(epoch["service"] for epoch in outcome.ledger["declared_epochs"])
    assert declared == ["alerts", "alerts", "detect", "match"]
    assert outcome.ledger["unknown_frames_at_most"] == 0
    # While detect or match were away, frames were destroyed unanalysed and counted so; none waited.
    assert outcome.ledger["destroyed"]["unanalysed"] > 0
    assert outcome.ledger["frames_in"] == outcome.push.sent


def _all_alive(machine: Machine) -> bool:
    return all(child.pid is not None for child in machine.supervisor.children.values())


async def test_ingest_killed_declares_what_it_cannot_know(tmp_path: Path) -> None:
    outcome = Outcome(expected=None)
    async with running(tmp_path) as machine:
        stage = Stage(machine, threshold=THRESHOLD, outcome=outcome)
        await stage.open(builtin_list())
        clip = builtin_clip()
        killer = asyncio.create_task(_kill_when_due(machine, [(6.0, "ingest")]))
        await stage.play(Clip(clip.pictures, clip.frames_per_second))
        await killer
        await stage.end()
    assert outcome.conserved
    lost = [e for e in outcome.ledger["declared_epochs"] if e["service"] == "ingest"]
    assert len(lost) == 1
    unknown = outcome.push.sent - outcome.ledger["frames_in"]
    assert 0 <= unknown <= lost[0]["unknown_frames_at_most"]
