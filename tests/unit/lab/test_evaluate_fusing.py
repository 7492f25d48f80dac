"""Rules that make one score of several shots or references, on made-up templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from overt.errors import Fatal
from overt_lab.evaluate import fusing, report_fusing
from overt_lab.evaluate.fusing import Case, fuse
from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.templates import Templates

pytestmark = pytest.mark.unit


def _people(count: int, pictures: int, seed: int = 0) -> tuple[Labels, Templates]:
    """Every picture is its person's middle, and noise; worth less, the more of it."""
    random = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(count), pictures)
    noise = random.uniform(0.3, 1.6, len(subjects))
    rows = random.normal(size=(count, 32))[subjects] + noise[:, None] * random.normal(size=(len(subjects), 32))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = Labels(tuple(Path(str(n)) for n in subjects), subjects, np.zeros_like(subjects), ("",), True, 0)
    return labels, Templates(rows.astype(np.float32), worth=1.7 - noise)


@pytest.fixture(scope="module")
def cases() -> dict[tuple[str, int], Case]:
    labels, templates = _people(250, 5)
    return {(case.kind, case.count): case for case in fuse(labels, templates, None)}


def test_one_shot_is_the_measure(cases: dict[tuple[str, int], Case]) -> None:
    assert cases.keys() == {("shots", 2), ("shots", 3), ("references", 2), ("references", 3)}
    for case in cases.values():
        assert case.people == 250
        one = case.rules[fusing.ONE][0]
        assert one.times == pytest.approx(1, abs=0.05)
        assert one.missed == one.missed_at_own
        assert case.rules[fusing.ONE][1].times is None, "0.6 strangers are expected in 60,000 pairs"


def test_what_rules_do_to_strangers_and_to_mates(cases: dict[tuple[str, int], Case]) -> None:
    two = {name: points[0] for name, points in cases["shots", 2].rules.items()}
    assert two["two that agree"].times < 1 < two["mean template"].times
    assert two["mean template"].missed_at_own < two[fusing.ONE].missed
    assert two["mean template by quality"].missed_at_own < two["mean template"].missed_at_own
    references = {name: points[0] for name, points in cases["references", 3].rules.items()}
    assert references["the best score"].times > 1 > references["mean score"].times
    assert references["mean template"].missed_at_own < references[fusing.ONE].missed


def test_a_table_for_each_case(cases: dict[tuple[str, int], Case]) -> None:
    told = report_fusing.text(tuple(cases.values()), "an engine", None)
    assert "2 shots, 250 people" in told
    assert "two that agree (in use)" in told
    assert "the best score (in use)" in told
    assert told.count("by quality") == 4
    figures = cases["references", 2].figures()
    assert list(figures["rules"]) == ["one", "the best score", "mean score", "mean template"]
    assert figures["rules"]["one"]["1e-5"] == {"times": None, "missed": None, "missed_at_own": None}


def test_two_pictures_of_everybody_are_too_few() -> None:
    with pytest.raises(Fatal, match="3 pictures or more"):
        fuse(*_people(30, 2), None)


def test_failures_to_enrol_are_left_out() -> None:
    labels, templates = _people(40, 4)
    templates.rows[::4] = np.nan
    assert {(case.kind, case.count, case.people) for case in fuse(labels, templates, None)} == {
        ("shots", 2, 40),
        ("references", 2, 40),
    }
