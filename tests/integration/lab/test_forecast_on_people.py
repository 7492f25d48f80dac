"""A forecast against what happens: 800 on the list, 1,200 passing, calibrated on 318 others; 200 draws of people."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from overt.scoring import MARGIN, RARER, Normalisation, ScoreToRate, fmr_for, forecast, normalise, statistics
from overt_lab.calibrate.leaving_out import leaving_out
from overt_lab.calibrate.strangers import strangers
from overt_lab.conditions import cores
from overt_lab.evaluate.faces import EngineChoice, open_enroller, read_picture
from overt_lab.evaluate.templates import Mirrored, Templates, enrol
from overt_match.duplicates import NEAR_DUPLICATE

pytestmark = [pytest.mark.integration, pytest.mark.data]

LISTED, PASSING, RESAMPLES = 800, 1200, 200
HOW = Normalisation(100, 1, 1)
FPIRS = (1e-3, 1e-2, 1e-1)


@pytest.fixture(scope="module")
def templates(shared_data: Path) -> Templates:
    """One of each person of the measuring set, in memory only."""
    folder = shared_data / "lfw_dev"
    with (folder / "labels.csv").open(newline="") as file:
        first = {row["subject"]: row["image"] for row in reversed(list(csv.DictReader(file)))}
    enroller = open_enroller(EngineChoice(), True, Mirrored.REFERENCES, cores())
    (found,) = enrol([folder / name for name in first.values()], [enroller], read=read_picture, workers=cores())
    return found[~found.missing]


def test_the_interval_covers_what_happens(templates: Templates) -> None:
    covered = dict.fromkeys(FPIRS, 0)
    random = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        order = random.permutation(len(templates.rows))
        listed, passing, some = np.split(order, [LISTED, LISTED + PASSING])
        cohort = templates[some]
        members = np.arange(len(some))
        pairs = strangers(cohort, members)
        scores = pairs.members_scores(leaving_out(cohort, members, HOW.best), HOW)
        rates: ScoreToRate = pairs.rates(scores)
        shots, references = templates.rows[passing], templates.references[listed]
        of_listed, of_passing = (statistics(rows, cohort.rows, HOW.best) for rows in (references, shots))
        highest = normalise(shots @ references.T, of_passing, of_listed, HOW).max(axis=1)
        for fpir in FPIRS:
            threshold, _ = rates.score_at(fmr_for(fpir, LISTED))
            told = forecast(rates, None, list_size=LISTED, footfall=PASSING, threshold=threshold)
            covered[fpir] += told.low <= int((highest >= threshold).sum()) <= told.high
    assert all(count >= 0.9 * RESAMPLES for count in covered.values()), covered


def test_the_tail_beyond_the_data(templates: Templates) -> None:
    """Rates of 2.7 million pairs, told from 318 of the people: 50,000 pairs, of which half a pair is above 1e-5."""
    everybody = strangers(templates, np.arange(len(templates.rows)))
    falling = np.sort(everybody.cosines)[::-1]
    # The six highest are people who are there under two names.
    truth = {fmr: falling[6:][int(fmr * len(falling))] for fmr in (1e-4, 1e-5, 1e-6)}
    random = np.random.default_rng(0)
    told: dict[float, list[float]] = {fmr: [] for fmr in truth}
    held = []
    for _ in range(30):
        some = random.permutation(len(templates.rows))[:318]
        pairs = strangers(templates[some], np.arange(318))
        rates = pairs.rates(pairs.cosines)
        for fmr, score in truth.items():
            rate = rates.fmr(score)
            told[fmr].append(rate.value / fmr)
            held.append(rate.low <= fmr <= rate.high)
    assert np.mean(held) >= 0.9
    for fmr, within in ((1e-4, 1.5), (1e-5, 2.0), (1e-6, 3.0)):
        assert 1 / within < np.median(told[fmr]) < within, (fmr, np.median(told[fmr]))


def test_what_a_step_of_cosine_is_worth(templates: Templates) -> None:
    """The raw margin makes strangers ten times rarer; where match calls two references near-duplicates there are hardly
    any: of 2.7 million pairs no more than those six."""
    everybody = strangers(templates, np.arange(len(templates.rows))).cosines
    for level in (0.33, 0.36, 0.39, 0.42):
        rarer = (everybody >= level).mean() / (everybody >= level + MARGIN).mean()
        assert RARER / 2 < rarer < RARER * 2, (level, rarer)
    references = templates.references[~np.isnan(templates.references[:, 0])]
    alike = np.triu(references @ references.T, 1)
    print(f"{int((alike >= NEAR_DUPLICATE).sum())} of {everybody.size} pairs at {NEAR_DUPLICATE} or more")
    assert (alike >= NEAR_DUPLICATE).sum() <= 6
