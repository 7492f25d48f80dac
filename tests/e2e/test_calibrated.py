"""A calibrated deployment on the whole system: from the cohort's file to an alert that shows two entries."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from overt.cohort import save
from overt.permissions import Role
from overt.scoring import threshold_for
from overt_lab.archive import COLUMNS, ListImage, demo_row, pack
from overt_lab.camera import Clip
from overt_lab.demo.cli import SEED
from overt_lab.demo.people import Person, demo_people
from overt_lab.demo.run import CAMERA, DEPLOYMENT, Outcome, Stage
from overt_lab.demo.scene import FRAMES_PER_SECOND, plan, reference_picture, render
from overt_lab.forecast.cli import forecast
from overt_lab.machine import Machine
from overt_lab.rest import Gateway, RestError
from support.cohorts import cohort
from support.machine import gateway, running, until

pytestmark = pytest.mark.e2e

TARGET = 1e-3
NOW = datetime.now(UTC)
WINDOW = {
    "starts_at": (NOW - timedelta(minutes=1)).isoformat(),
    "ends_at": (NOW + timedelta(hours=1)).isoformat(),
    "cameras": [{"id": CAMERA, "name": "Square"}],
}


def _person(name: str) -> Person:
    return next(person for person in demo_people() if person.name == name)


async def _overt(machine: Machine, *arguments: str) -> str:
    """The command, as a user calls it."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "overt"),
        *arguments,
        *("--url", machine.gateway_url),
        env={**os.environ, "OVERT_TOKEN": machine.token(Role.APPLICANT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()
    return out.decode()


async def _model_digest(applicant: Gateway) -> str:
    """Of the model that templates this system's lists, told by one."""
    await applicant.create_deployment(id="another", name="Another", **WINDOW)
    await applicant.import_list("another", pack([ListImage(demo_row("a", "a.jpg"), reference_picture(_person("fir")))]))
    return str((await applicant.entries("another"))["model_digest"])


def _write_list(folder: Path) -> Path:
    """One person under two names, and somebody else."""
    pictures = {"alder": "alder", "alder-again": "alder", "birch": "birch"}
    for subject, person in pictures.items():
        (folder / f"{subject}.jpg").write_bytes(reference_picture(_person(person)))
    table = folder / "list.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(demo_row(subject, f"{subject}.jpg") for subject in pictures)
    return table


def _forecast_of(file: Path, folder: Path, *more: str) -> dict[str, Any]:
    """What `overt forecast` says of the same file."""
    figures = folder / "forecast.json"
    arguments = ["--cohort", str(file), "--json", str(figures), *more]
    assert CliRunner().invoke(forecast, arguments).exit_code == 0
    told: dict[str, Any] = json.loads(figures.read_text())
    return told


async def test_from_a_cohort_to_an_alert_that_shows_both_entries(tmp_path: Path) -> None:
    outcome = Outcome()
    async with running(tmp_path / "data") as machine, gateway(machine, Role.APPLICANT) as applicant:
        made = cohort(300, model_digest=await _model_digest(applicant))
        save(made, tmp_path / "cohort.npz")
        save(cohort(model_digest="another"), tmp_path / "other.npz")
        await applicant.create_deployment(id=DEPLOYMENT, name="Calibrated", target_fpir=TARGET, **WINDOW)

        # In force before anybody is listed; of another model, or with somebody listed, never.
        with pytest.raises(RestError, match="model_mismatch"):
            await applicant.put_calibration(DEPLOYMENT, (tmp_path / "other.npz").read_bytes())
        with pytest.raises(RestError, match="list_not_empty"):
            await applicant.put_calibration("another", (tmp_path / "cohort.npz").read_bytes())
        with pytest.raises(RestError, match="bad_cohort"):
            await applicant.put_calibration(DEPLOYMENT, b"PK\x03\x04" + bytes(12 * 1024 * 1024))
        assert await applicant.remove_calibration(DEPLOYMENT) == await applicant.calibration(DEPLOYMENT)
        told = await _overt(machine, "calibration", "set", DEPLOYMENT, str(tmp_path / "cohort.npz"))
        assert "demo: calibrated, target 1 in 1,000\ncohort       300 templates of 300 people" in told

        # One person under two names is told, and goes in.
        table = _write_list(tmp_path)
        told = await _overt(machine, "watchlist", "import", DEPLOYMENT, str(table), "--images", str(tmp_path))
        assert "row 3, alder-again and alder: cosine 1.00" in told
        with (tmp_path / "list.near_duplicates.csv").open(newline="") as file:
            (alike,) = csv.DictReader(file)
        assert (alike["row"], alike["subject_ref"], alike["other_subject_ref"]) == ("3", "alder-again", "alder")

        # What is foretold over REST is what the command says of the same file.
        for size, asked in ((3, {}), (800, {"target_fpir": 0.01})):
            rest = await applicant.forecast(DEPLOYMENT, footfall=1200, list_size=size, **asked)
            command = _forecast_of(
                tmp_path / "cohort.npz",
                tmp_path,
                *("--watchlist-size", str(size), "--footfall", "1200"),
                *("--target-fpir", str(asked.get("target_fpir", TARGET))),
            )
            assert rest["threshold"] == command["threshold"]
            assert rest["fpir"]["value"] == command["fpir"]
            expected = command["false_alerts"]
            assert rest["false_alerts"] == {"value": expected.pop("expected"), **expected}
            misses = command["misses"]
            assert rest["missed"] == misses

        # The target becomes a threshold for the list as long as it is.
        async with gateway(machine, Role.OPERATOR) as operator:
            started = await operator.start(DEPLOYMENT)
            threshold = threshold_for(made.score_to_rate, target_fpir=TARGET, list_size=3)
            assert started["threshold"] == pytest.approx(threshold.score, rel=1e-5)
            assert started["under_18_threshold"] == pytest.approx(threshold.under_18_score, rel=1e-5)
            assert (started["uncalibrated"], started["target_fpir"]) == (False, TARGET)

            async def sees() -> bool:
                return (await operator.cameras(DEPLOYMENT))[0]["sight"] in ("waiting", "seeing")

            await until("the camera is open", sees, seconds=20)
            stage = Stage(machine, threshold=0, outcome=outcome)
            await stage.play(Clip(render(plan([_person("alder")], SEED), SEED), FRAMES_PER_SECOND))

            async def raised() -> bool:
                return bool(await operator.alerts(DEPLOYMENT))

            await until("the alert", raised)
            (alert,) = await operator.alerts(DEPLOYMENT)
            assert {alert["subject_ref"], alert["rival"]["subject_ref"]} == {"alder", "alder-again"}
            assert alert["ambiguous"] is True
            assert alert["calibration"].startswith("calibrated, target 1 in 1,000")
            assert alert["score"] > alert["threshold"] > 1, "normalised: no cosine is that high"
            both = [await operator.evidence(DEPLOYMENT, alert["id"], part) for part in ("reference", "rival_reference")]
            assert all(picture.startswith(b"\xff\xd8") for picture in both)
        await stage.end()
        with pytest.raises(RestError, match="wrong_state"):
            await applicant.calibration(DEPLOYMENT)
    assert outcome.conserved
