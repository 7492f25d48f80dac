"""Calibration on made-up templates: people are points near their group's middle, those of one group nearer."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from overt.errors import Fatal
from overt.scoring import normalise, statistics
from overt_lab.calibrate import report
from overt_lab.calibrate.calibrating import Calibrated, Enrolled, Plan, of_templates
from overt_lab.calibrate.choosing import MOST_LOST
from overt_lab.calibrate.leaving_out import leaving_out
from overt_lab.calibrate.mated import Mated
from overt_lab.calibrate.members import balance_of, check, same_people
from overt_lab.calibrate.strangers import strangers
from overt_lab.evaluate.faces import EngineChoice, Ran
from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.templates import Templates

pytestmark = pytest.mark.unit

RAN = Ran("onnxruntime", "CPU", "f32", "open", "d" * 64)
LENGTH = 64


def units(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def people(per_group: int, pictures: int, seed: int, *, named: bool = True) -> Enrolled:
    """Two groups: of the second the model has seen few, and finds them alike."""
    random = np.random.default_rng(seed)
    middles = np.random.default_rng(99).normal(size=(2, LENGTH)) / np.sqrt(LENGTH)
    rows, subjects, groups = [], [], []
    for person in range(2 * per_group):
        group = person % 2
        who = (0.3, 1.2)[group] * middles[group] + random.normal(size=LENGTH) / np.sqrt(LENGTH)
        for _ in range(pictures):
            rows.append(who + 0.4 * random.normal(size=LENGTH) / np.sqrt(LENGTH))
            subjects.append(person)
            groups.append(group)
    images = tuple(Path(f"{i}.jpg") for i in range(len(rows)))
    labels = Labels(images, np.array(subjects), np.array(groups), ("few, seen", "many, seen"), named, 0)
    return Enrolled(labels, Templates(units(np.array(rows))), None)


def plan(*, unbalanced: bool = False) -> Plan:
    return Plan(Path(), Path(), ("group",), None, EngineChoice(), 1, unbalanced)


@pytest.fixture(scope="module")
def done() -> Calibrated:
    return of_templates(plan(), people(150, 1, 0), people(110, 3, 1), RAN)


def test_the_ratio_drops_and_recognition_is_kept(done: Calibrated) -> None:
    choice = done.choice
    assert choice.chosen.ratio < choice.raw.ratio / 2
    assert choice.chosen.eligible
    assert choice.chosen.lost is not None
    assert choice.chosen.lost <= MOST_LOST
    assert len(choice.curve) >= 20


def test_it_generalises_to_other_people(done: Calibrated) -> None:
    """Ratio of two groups' rates, on people who are neither in the cohort nor among the mated."""
    others = people(200, 1, 2)
    of = done.cohort.statistics(others.templates.rows)
    raw = others.templates.rows @ others.templates.rows.T
    ratios = []
    for table in (raw, normalise(raw, of, of, done.cohort.normalisation)):
        within = [table[g::2, g::2][np.triu_indices(200, 1)] for g in (0, 1)]
        threshold = np.quantile(np.concatenate(within), 1 - 1e-2)
        rates = [(scores >= threshold).mean() for scores in within]
        ratios.append(max(rates) / max(min(rates), 1e-5))
    assert ratios[1] < ratios[0] / 2


def test_what_is_told(done: Calibrated) -> None:
    told, figures = report.text(done), report.figures(done)
    assert "balanced: " in told
    assert "extrapolated" in told
    assert figures["balanced"] is True
    assert figures["rates_of"] == "mated"
    assert figures["misses"][0]["fnmr"] <= figures["misses"][-1]["fnmr"]
    assert figures["chosen"]["eligible"] is True
    assert done.cohort.created_at.tzinfo is UTC


def test_without_mated_pictures_the_default_is_taken_and_misses_are_not_available() -> None:
    done = of_templates(plan(), people(160, 1, 3), None, RAN)
    how = done.cohort.normalisation
    assert (how.best, how.a, how.b) == (100, 1, 1)
    assert done.cohort.misses is None
    assert done.cohort.rates_of == "cohort"
    assert report.figures(done)["misses"] == "not available"
    assert "not available" in report.text(done)


def test_an_unbalanced_cohort_is_refused_and_says_by_how_much() -> None:
    given = people(100, 1, 4)
    kept = (given.labels.groups == 0) | (given.labels.subjects < 60)
    labels = Labels(
        tuple(np.array(given.labels.images)[kept]),
        given.labels.subjects[kept],
        given.labels.groups[kept],
        given.labels.group_names,
        True,
        0,
    )
    fewer = Enrolled(labels, given.templates[kept], None)
    with pytest.raises(Fatal, match=r"many, seen has 30: 3\.33 to 1.*--unbalanced"):
        of_templates(plan(), fewer, None, RAN)
    assert "UNBALANCED" in report.text(of_templates(plan(unbalanced=True), fewer, None, RAN))


def test_too_few_people_are_refused() -> None:
    with pytest.raises(Fatal, match="not enough data"):
        check(balance_of(np.zeros(59, np.int64), np.arange(59), ("all",)), unbalanced=True)


def test_one_person_under_two_names_is_found() -> None:
    given = people(100, 1, 5)
    rows = np.vstack([given.templates.rows, given.templates.rows[:3]])
    subjects = np.arange(len(rows))
    joined = same_people(rows, subjects, join=True)
    assert joined.joined == 3
    assert [joined.members[-3 + i] == joined.members[i] for i in range(3)] == [True] * 3
    told = same_people(rows, subjects, join=False)
    assert (told.joined, told.pairs) == (0, 3)


def test_references_are_enrolled_otherwise_than_shots_and_the_cohort_is_of_shots() -> None:
    """Somebody's references are the mirror image of the shots: nobody is like themselves, each like one other."""
    given = people(100, 2, 7)
    rows = given.templates.rows
    turned = np.ascontiguousarray(np.roll(rows, 2, axis=0))
    mated = Enrolled(given.labels, Templates(rows, 0, turned), None)
    found = Mated.of(mated.labels, mated.templates)
    table = found.scored(None, None)
    assert table[2, 2] == pytest.approx(rows[2 * 2 - 2] @ rows[2], abs=1e-6)
    pairs = strangers(mated.templates, given.labels.subjects)
    place = int(np.flatnonzero((pairs.first == 2) & (pairs.second == 9))[0])
    assert pairs.cosines[place] == pytest.approx(turned[2] @ rows[9], abs=1e-6)
    done = of_templates(plan(), Enrolled(given.labels, Templates(rows, 0, turned), None), None, RAN)
    assert np.array_equal(done.cohort.templates, rows)
    assert done.cohort.mirrored is False
    without = leaving_out(mated.templates, given.labels.subjects, 10)
    rest = rows[(given.labels.subjects != 0) & (given.labels.subjects != 5)]
    assert without.references.pair(np.array([0]), np.array([5])).mean[0] == pytest.approx(
        statistics(turned[:1], rest, 10).mean[0], abs=1e-6
    )


def test_leaving_two_out_is_what_statistics_without_both_say() -> None:
    given = people(40, 1, 6)
    members = given.labels.subjects
    without = leaving_out(given.templates, members, 10)
    first, second = np.array([0, 5, 17]), np.array([2, 9, 44])
    found = without.shots.pair(first, members[second])
    for place, (i, j) in enumerate(zip(first, second, strict=True)):
        rest = given.templates.rows[(members != members[i]) & (members != members[j])]
        exact = statistics(given.templates.rows[i : i + 1], rest, 10)
        assert found.mean[place] == pytest.approx(exact.mean[0], abs=1e-6)
        assert found.deviation[place] == pytest.approx(exact.deviation[0], abs=1e-4)


def test_nothing_personal_in_a_repr(done: Calibrated) -> None:
    assert "array" not in repr(done) + repr(done.cohort)
