"""`overt forecast` on a made-up cohort."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from overt.cohort import Cohort, Group, save
from overt.scoring import MissRates, Normalisation, ScoreToRate
from overt_lab.forecast.cli import forecast

pytestmark = pytest.mark.unit


@pytest.fixture
def cohort() -> Cohort:
    random = np.random.default_rng(0)
    first, second = np.triu_indices(600, 1)
    rows = random.normal(size=(50, 16))
    return Cohort(
        templates=(rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32),
        members=np.arange(50),
        groups=(Group("all", 50, 50),),
        model_digest="a" * 64,
        normalisation=Normalisation(20, 1, 1),
        score_to_rate=ScoreToRate.from_impostors(random.normal(size=len(first)), first, second),
        misses=MissRates.from_mated(random.normal(8, 2, 400), 200),
        source="",
        legal_basis="",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def told(cohort: Cohort, folder: Path, *options: str) -> tuple[str, dict[str, object]]:
    save(cohort, folder / "cohort.npz")
    arguments = ["--cohort", str(folder / "cohort.npz"), "--footfall", "1200", "--json", str(folder / "out.json")]
    shown = CliRunner().invoke(forecast, [*arguments, *options], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    return shown.output, json.loads((folder / "out.json").read_text())


def test_inside_the_data(cohort: Cohort, tmp_path: Path) -> None:
    text, figures = told(cohort, tmp_path, "--watchlist-size", "50", "--threshold", "3.0")
    alerts = figures["false_alerts"]
    assert isinstance(alerts, dict)
    assert alerts["expected"] == pytest.approx(1200 * (1 - (1 - 1.35e-3) ** 50), rel=0.15)
    assert alerts["low"] < alerts["expected"] < alerts["high"]
    assert alerts["extrapolated"] is False
    assert "extrapolated" not in text
    assert "above the ceiling" in text


def test_beyond_the_data_is_labelled(cohort: Cohort, tmp_path: Path) -> None:
    text, figures = told(cohort, tmp_path, "--watchlist-size", "800")
    alerts = figures["false_alerts"]
    assert isinstance(alerts, dict)
    assert alerts["expected"] == pytest.approx(1.2, rel=0.05), "one in a thousand of the passers-by, by default"
    assert alerts["extrapolated"] is True
    assert "extrapolated" in text


def test_misses_without_mated_pictures(cohort: Cohort, tmp_path: Path) -> None:
    text, figures = told(replace(cohort, misses=None), tmp_path, "--watchlist-size", "800")
    assert figures["misses"] == "not available"
    assert "not available" in text
