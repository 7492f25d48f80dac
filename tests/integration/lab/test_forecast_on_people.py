"""A forecast against what happens: 800 on the list, 1,200 passing, calibrated on 318 others; 200 draws of people."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from overt.scoring import Normalisation, ScoreToRate, fmr_for, forecast, normalise, statistics
from overt_lab.calibrate.leaving_out import leaving_out
from overt_lab.calibrate.strangers import strangers
from overt_lab.conditions import cores
from overt_lab.evaluate.faces import EngineChoice, open_enroller, read_picture
from overt_lab.evaluate.templates import Template, enrol

pytestmark = [pytest.mark.integration, pytest.mark.data]

LISTED, PASSING, RESAMPLES = 800, 1200, 200
HOW = Normalisation(100, 1, 1)
FPIRS = (1e-3, 1e-2, 1e-1)


@pytest.fixture(scope="module")
def templates(shared_data: Path) -> Template:
    """One of each person of the measuring set, in memory only."""
    folder = shared_data / "lfw_dev"
    with (folder / "labels.csv").open(newline="") as file:
        first = {row["subject"]: row["image"] for row in reversed(list(csv.DictReader(file)))}
    enroller = open_enroller(EngineChoice(), True, False, cores())
    (found,) = enrol([folder / name for name in first.values()], [enroller], read=read_picture, workers=cores())
    return found.rows[~found.missing]


def test_the_interval_covers_what_happens(templates: Template) -> None:
    covered = dict.fromkeys(FPIRS, 0)
    random = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        order = random.permutation(len(templates))
        listed, passing, cohort = np.split(templates[order], [LISTED, LISTED + PASSING])
        members = np.arange(len(cohort))
        pairs = strangers(cohort, members)
        scores = pairs.members_scores(leaving_out(cohort, members, HOW.best), HOW)
        rates: ScoreToRate = pairs.rates(scores)
        of_listed, of_passing = (statistics(rows, cohort, HOW.best) for rows in (listed, passing))
        highest = normalise(passing @ listed.T, of_passing, of_listed, HOW).max(axis=1)
        for fpir in FPIRS:
            threshold, _ = rates.score_at(fmr_for(fpir, LISTED))
            told = forecast(rates, None, list_size=LISTED, footfall=PASSING, threshold=threshold)
            covered[fpir] += told.low <= int((highest >= threshold).sum()) <= told.high
    assert all(count >= 0.9 * RESAMPLES for count in covered.values()), covered


def test_the_tail_beyond_the_data(templates: Template) -> None:
    """Rates of 2.7 million pairs, told from 318 of the people: 50,000 pairs, of which half a pair is above 1e-5."""
    everybody = strangers(templates, np.arange(len(templates)))
    falling = np.sort(everybody.cosines)[::-1]
    # The six highest are people who are there under two names.
    truth = {fmr: falling[6:][int(fmr * len(falling))] for fmr in (1e-4, 1e-5, 1e-6)}
    random = np.random.default_rng(0)
    told: dict[float, list[float]] = {fmr: [] for fmr in truth}
    held = []
    for _ in range(30):
        some = random.permutation(len(templates))[:318]
        pairs = strangers(templates[some], np.arange(318))
        rates = pairs.rates(pairs.cosines)
        for fmr, score in truth.items():
            rate = rates.fmr(score)
            told[fmr].append(rate.value / fmr)
            held.append(rate.low <= fmr <= rate.high)
    assert np.mean(held) >= 0.9
    for fmr, within in ((1e-4, 1.5), (1e-5, 2.0), (1e-6, 3.0)):
        assert 1 / within < np.median(told[fmr]) < within, (fmr, np.median(told[fmr]))
