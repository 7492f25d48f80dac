"""Rates of groups: every pair once, dependence between pairs, and when nothing may be said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.scoring import Interval, clopper_pearson
from overt_lab.evaluate import within
from overt_lab.evaluate.equity import compare
from overt_lab.evaluate.groups import Equity, figures
from overt_lab.evaluate.labels import Labels
from overt_lab.evaluate.scores import RAW, Scorer
from overt_lab.evaluate.spread import between_people, of_people
from overt_lab.evaluate.templates import Templates
from overt_lab.evaluate.verdict import Verdict, apart, judge, power_of_points, power_of_ratio

pytestmark = pytest.mark.unit


def _labels(subjects: np.ndarray, groups: np.ndarray) -> Labels:
    names = tuple(f"group {n}" for n in range(int(groups.max()) + 1))
    return Labels(tuple(Path(f"{n}.jpg") for n in range(len(subjects))), subjects, groups, names, True, 0)


def _set(seed: int, people: int, each: int, likeness: tuple[float, ...], length: int = 64) -> tuple[Labels, Scorer]:
    """Groups of so many people; within one, strangers are as alike as its `likeness` says."""
    random = np.random.default_rng(seed)
    rows, subjects, groups = [], [], []
    for group, alike in enumerate(likeness):
        centre = random.normal(size=length)
        centre /= np.linalg.norm(centre)
        for person in range(people):
            face = alike * centre + random.normal(size=length) / np.sqrt(length)
            for _ in range(each):
                rows.append(face + 0.3 * random.normal(size=length) / np.sqrt(length))
                subjects.append(group * people + person)
                groups.append(group)
    table = np.array(rows)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return _labels(np.array(subjects), np.array(groups)), Scorer(RAW, Templates(table.astype(np.float32)))


def _compared(*arguments: object, **options: object) -> Equity:
    labels, scorer = _set(*arguments, **options)  # type: ignore[arg-type]
    return compare(labels, ["race"], [scorer])


# --- pairs ------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 3, 1024]), st.booleans())
def test_every_pair_within_a_group_is_there_once(seed: int, side: int, few: bool) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 30))
    subjects, groups = random.integers(0, 6, count), random.integers(0, 3, count)
    _, subjects = np.unique(subjects, return_inverse=True)
    rows = random.normal(size=(count, 4))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    rows[random.random(count) < 0.1] = np.nan
    scorer = Scorer(RAW, Templates(rows))
    labels = _labels(subjects, groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(within, "_SIDE", side)
        patch.setattr(within, "KEPT_AT_LEAST", 5 if few else 1000)
        found = within.within_groups(labels, scorer)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count) if groups[i] == groups[j]]
    others = [(i, j) for i, j in pairs if subjects[i] != subjects[j]]
    expected = sorted(
        (float(rows[i] @ rows[j]) for i, j in others if not np.isnan(rows[[i, j], 0]).any()), reverse=True
    )
    assert found.scores == pytest.approx(expected[: len(found.scores)], abs=1e-5)
    assert len(found.scores) == min(len(expected), 5 if few else 1000)
    assert found.impostors.sum() == len(others)
    assert len(found.genuine) == len(pairs) - len(others)
    kept = {tuple(sorted(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)}
    assert kept <= set(others)
    assert len(kept) == len(found.scores)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 50), max_size=30), max_size=10), st.integers(1, 40))
def test_the_highest_are_kept(parts: list[list[int]], most: int) -> None:
    highest = within.Highest(most)
    for part in parts:
        where = np.arange(len(part))
        highest.add(np.array(part, np.float64), where, where)
    falling, _, _ = highest.falling()
    everything = sorted((value for part in parts for value in part), reverse=True)
    assert falling.tolist() == everything[:most]


# --- pairs that share a person ----------------------------------------------------------------------------------


def _simulated(random: np.random.Generator, people: int, each: int, uneven: float) -> tuple[int, float]:
    """Matches of people of whom some are like everybody; the matches, and the design effect that is seen in them."""
    prone = random.gamma(1 / uneven, uneven, people) if uneven else np.ones(people)
    i, j = np.triu_indices(people, 1)
    matching = random.random(len(i)) < np.minimum(1, 0.01 * prone[i] * prone[j])
    first, second = np.repeat(i[matching], each**2), np.repeat(j[matching], each**2)
    return len(first), between_people(first, second, np.full(people, each))


@pytest.mark.parametrize(("each", "uneven"), [(1, 0.0), (2, 0.0), (1, 0.5)])
def test_the_design_effect_is_that_of_repeated_experiments(each: int, uneven: float) -> None:
    random = np.random.default_rng(0)
    people = 80
    events, seen = zip(*(_simulated(random, people, each, uneven) for _ in range(400)), strict=True)
    pairs = people * (people - 1) // 2 * each**2
    rate = np.mean(events) / pairs
    true = np.var(events) / (pairs * rate * (1 - rate))
    assert np.mean(seen) == pytest.approx(true, rel=0.3)


def test_pairs_of_one_person_that_rise_and_fall_together_are_worth_one() -> None:
    people = np.repeat(np.arange(100), 10)
    hit = np.repeat(np.arange(100) % 4 > 0, 10)
    assert of_people(people, hit) == pytest.approx(10)
    random = np.random.default_rng(0)
    assert of_people(people, random.random(1000) < 0.7) == pytest.approx(1, abs=0.35)


def test_nothing_and_everything_have_no_design_effect() -> None:
    none = np.empty(0, np.int64)
    assert between_people(none, none, np.array([2, 2])) == 1
    assert of_people(np.array([0, 0]), np.array([True, True])) == of_people(none, np.empty(0, np.bool_)) == 1


# --- verdicts ---------------------------------------------------------------------------------------------------

NEAR, FAR = Interval(0.1, 0.3), Interval(0.31, 0.5)


@pytest.mark.parametrize(
    ("intervals", "silent", "short", "power", "verdict"),
    [
        ([NEAR, FAR], [], [], 0.0, Verdict.SHOWN),
        ([NEAR, FAR], ["a"], [], 1.0, Verdict.INSUFFICIENT),
        ([NEAR, FAR], [], ["a"], 1.0, Verdict.INSUFFICIENT),
        ([NEAR, NEAR], [], [], 0.8, Verdict.NOT_SHOWN),
        ([NEAR, NEAR], [], [], 0.79, Verdict.INSUFFICIENT),
    ],
)
def test_the_rule(
    intervals: list[Interval], silent: list[str], short: list[str], power: float, verdict: Verdict
) -> None:
    judged = judge(intervals, silent=silent, short=short, power=power, what="a difference")
    assert judged.verdict == verdict
    assert judged.why


def test_intervals_that_touch_are_not_apart() -> None:
    assert not apart([Interval(0.1, 0.3), Interval(0.3, 0.5)])
    assert apart([Interval(0.1, 0.3), Interval(0.2, 0.4), Interval(0.31, 0.5)])


def test_power_grows_with_the_pairs_and_the_weakest_group_decides() -> None:
    few, more, many = (power_of_ratio([n] * 8, 1e-3) for n in (10_000, 100_000, 1_000_000))
    assert few < 0.1 < more < many
    assert many > 0.99
    assert power_of_ratio([1_000_000] * 7 + [10_000], 1e-3) < 0.5
    assert power_of_points([300] * 8, 0.75) < 0.5 < power_of_points([5000] * 8, 0.75)


def test_power_is_how_often_the_rule_shows_it() -> None:
    """Against the rule itself, with exact intervals."""
    random = np.random.default_rng(1)
    each, trials = 1 - 0.05 / 4, 60_000
    shown = 0
    for _ in range(200):
        counts = [*random.binomial(trials, 1e-3, 3), random.binomial(trials, 2e-3)]
        shown += apart([clopper_pearson(int(count), trials, each) for count in counts])
    assert power_of_ratio([trials] * 4, 1e-3) == pytest.approx(shown / 200, abs=0.1)


# --- the whole --------------------------------------------------------------------------------------------------


def test_groups_that_differ_are_shown_to() -> None:
    found = _compared(0, 150, 3, (0.4, 0.45, 0.55))
    level = found.ships.levels[0]
    assert level.judged.verdict == Verdict.SHOWN
    assert level.max_over_min is not None
    assert level.at_least is not None
    assert level.max_over_min > level.at_least > 1
    rates = [group.fmr.value for group in level.groups]
    assert max(rates, key=lambda rate: rate or 0) == rates[2]


def test_groups_that_do_not_differ_are_not_said_to() -> None:
    level = _compared(3, 400, 2, (0.1, 0.1)).ships.levels[0]
    assert level.judged.verdict == Verdict.NOT_SHOWN
    assert level.tmr_judged.verdict == Verdict.NOT_SHOWN


@pytest.mark.parametrize("people", [2, 5])
def test_a_handful_of_pictures_a_group_is_insufficient_evidence(people: int) -> None:
    told = figures(_compared(0, people, 3, (0.1, 0.9, 0.1, 0.9)))
    for level in told["raw"].values():
        assert level["verdict"] == level["tmr_verdict"] == "insufficient evidence"
        assert level["threshold"] is level["tmr"] is level["fmr_max_over_min"] is level["fmr_max_over_geomean"] is None
        for group in level["groups"].values():
            assert group["fmr"] is group["fmr_ci"] is group["tmr"] is None
            assert (group["n_impostor"], group["n_genuine"]) == (9 * people * (people - 1) // 2, 3 * people)


def test_a_group_without_an_event_enters_with_its_upper_limit() -> None:
    labels, scorer = _set(0, 150, 1, (0.0, 1.5))
    told = figures(compare(labels, ["race"], [scorer]))["raw"]["1e-3"]
    quiet, loud = told["groups"].values()
    assert (quiet["false_matches"], quiet["fmr"]) == (0, 0.0)
    assert quiet["fmr_ci"] == list(clopper_pearson(0, quiet["n_impostor"]))
    assert told["fmr_max_over_min"] == pytest.approx(loud["fmr"] / quiet["fmr_ci"][1])
    assert told["verdict"] == "insufficient evidence"
    assert told["why"] == "not one event to go by: group 0"
    assert told["tmr_why"] == "nobody has two pictures in this set"


def test_the_threshold_is_that_of_all_pairs_together_and_the_fields_are_those_agreed() -> None:
    labels, scorer = _set(0, 60, 4, (0.3, 0.4))
    told = figures(compare(labels, ["race"], [scorer]))
    assert set(told["raw"]) == {"1e-3", "1e-4"}
    level = told["raw"]["1e-3"]
    wanted = {"threshold", "groups", "tmr", "fmr_max_over_min", "fmr_max_over_geomean", "verdict"}
    assert level.keys() >= wanted
    for group in level["groups"].values():
        assert group.keys() >= {"fmr", "fmr_ci", "tmr", "tmr_ci", "n_impostor", "n_genuine"}
    of_groups = [np.flatnonzero(labels.groups == group) for group in (0, 1)]
    apart = [np.triu(labels.subjects[here][:, None] != labels.subjects[here][None, :]) for here in of_groups]
    everything = np.concatenate([scorer.table(here, here)[of] for here, of in zip(of_groups, apart, strict=True)])
    assert (everything >= level["threshold"]).mean() <= 1e-3
    assert (everything >= level["threshold"] - 0.01).mean() > 1e-3
    assert level["false_matches"] == sum(group["false_matches"] for group in level["groups"].values())


def test_pictures_without_a_template_stay_in_the_denominators() -> None:
    labels, scorer = _set(0, 40, 3, (0.3, 0.4))
    whole = figures(compare(labels, ["race"], [scorer]))
    scorer.templates.rows[::7] = np.nan
    part = figures(compare(labels, ["race"], [scorer]))
    for before, after in zip(
        whole["raw"]["1e-3"]["groups"].values(), part["raw"]["1e-3"]["groups"].values(), strict=True
    ):
        assert (before["n_impostor"], before["n_genuine"]) == (after["n_impostor"], after["n_genuine"])
        assert after["true_matches"] < before["true_matches"]
    assert part["fte"] == len(range(0, 240, 7))
