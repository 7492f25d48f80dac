"""The decision rule: examples that a person can check, and laws that hold for every input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt.scoring import SHOTS_APART, Candidate, ProbeScores, Under18, Verdict, VerdictKind, decide

pytestmark = pytest.mark.unit

T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
RANK = {VerdictKind.NO_MATCH: 0, VerdictKind.PENDING: 1, VerdictKind.AGREED: 2}


def shot(at_ms: int, **cosines: float) -> ProbeScores:
    return ProbeScores(T0 + timedelta(milliseconds=at_ms), [Candidate(e, c) for e, c in cosines.items()])


def test_nothing_above_the_threshold() -> None:
    assert decide([shot(0, a=0.39), shot(500)], threshold=0.4) == Verdict(VerdictKind.NO_MATCH)
    assert decide([], threshold=0.4).kind is VerdictKind.NO_MATCH


def test_one_shot_is_pending_and_names_the_leader() -> None:
    verdict = decide([shot(0, a=0.5, b=0.6)], threshold=0.4)
    assert verdict == Verdict(VerdictKind.PENDING, "b", 0.6, (0,))


def test_two_shots_agree_with_the_lower_cosine() -> None:
    verdict = decide([shot(0, a=0.7), shot(300, a=0.5)], threshold=0.4)
    assert verdict == Verdict(VerdictKind.AGREED, "a", 0.5, (0, 1), uncalibrated=True)


def test_two_shots_of_different_entries_do_not_agree() -> None:
    assert decide([shot(0, a=0.7), shot(300, b=0.7)], threshold=0.4).kind is VerdictKind.PENDING


def test_shots_less_than_100_ms_apart_are_one() -> None:
    assert decide([shot(0, a=0.7), shot(99, a=0.7)], threshold=0.4).kind is VerdictKind.PENDING
    assert decide([shot(0, a=0.7), shot(100, a=0.7)], threshold=0.4).kind is VerdictKind.AGREED


def test_the_best_pair_that_is_far_enough_apart_counts() -> None:
    probes = [shot(0, a=0.6), shot(50, a=0.9), shot(130, a=0.8), shot(600, a=0.5)]
    # .9 and .8 are 80 ms apart; .8 with .6 is the best pair that counts.
    assert decide(probes, threshold=0.4) == Verdict(VerdictKind.AGREED, "a", 0.6, (0, 2))


def test_indexes_follow_the_input_and_the_capture_order() -> None:
    assert decide([shot(900, a=0.7), shot(0, a=0.6)], threshold=0.4).agreeing == (1, 0)


def test_ties_go_to_the_smallest_id() -> None:
    assert decide([shot(0, b=0.7, a=0.7), shot(300, a=0.5, b=0.5)], threshold=0.4).entry_id == "a"
    assert decide([shot(0, b=0.7, a=0.7)], threshold=0.4).entry_id == "a"


def test_equal_to_the_threshold_reaches_it_and_nan_never_does() -> None:
    assert decide([shot(0, a=0.4)], threshold=0.4).kind is VerdictKind.PENDING
    assert decide([shot(0, a=float("nan"))], threshold=0.4).kind is VerdictKind.NO_MATCH


def test_an_entry_that_is_there_twice_counts_once_with_its_better_cosine() -> None:
    probe = ProbeScores(T0, [("a", 0.5), ("a", 0.8), ("a", 0.6)])
    assert decide([probe], threshold=0.4) == Verdict(VerdictKind.PENDING, "a", 0.8, (0,))


def test_a_rule_without_shots_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        decide([], threshold=0.4, agreeing_shots=0)


def test_no_repr_names_an_entry() -> None:
    probes = [shot(0, somebody=0.7), shot(300, somebody=0.7)]
    assert "somebody" not in repr(probes) + repr(decide(probes, threshold=0.4))


cosines = st.floats(-1, 1, allow_nan=False).map(lambda c: round(c, 2))
probe_scores = st.builds(
    lambda at, found: shot(at, **found),
    st.integers(0, 600).map(lambda t: t * 10),
    st.dictionaries(st.sampled_from("abcd"), cosines, max_size=4),
)
tracks = st.lists(probe_scores, max_size=6)
thresholds = st.floats(-0.5, 0.9).map(lambda t: round(t, 2))
needed = st.integers(1, 3)


@given(tracks, thresholds, needed, st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(
    probes: list[ProbeScores], threshold: float, needed: int, random: object
) -> None:
    def shuffled(probe: ProbeScores) -> ProbeScores:
        candidates = list(probe.candidates)
        random.shuffle(candidates)  # type: ignore[attr-defined]
        return ProbeScores(probe.captured_at, candidates)

    before = decide(probes, threshold=threshold, agreeing_shots=needed)
    assert decide([shuffled(p) for p in probes], threshold=threshold, agreeing_shots=needed) == before


@given(tracks, thresholds, needed, st.data())
def test_the_order_of_probes_does_not_change_what_is_decided(
    probes: list[ProbeScores], threshold: float, needed: int, data: st.DataObject
) -> None:
    before = decide(probes, threshold=threshold, agreeing_shots=needed)
    after = decide(data.draw(st.permutations(probes)), threshold=threshold, agreeing_shots=needed)
    assert (after.kind, after.entry_id, after.score) == (before.kind, before.entry_id, before.score)


@given(tracks, probe_scores, thresholds, needed)
def test_another_shot_never_takes_back_what_was_agreed(
    probes: list[ProbeScores], another: ProbeScores, threshold: float, needed: int
) -> None:
    before = decide(probes, threshold=threshold, agreeing_shots=needed)
    after = decide([*probes, another], threshold=threshold, agreeing_shots=needed)
    assert RANK[after.kind] >= RANK[before.kind]
    if before.kind is VerdictKind.AGREED:
        assert after.score is not None
        assert before.score is not None
        assert after.score >= before.score


@given(tracks, thresholds, thresholds, needed)
def test_a_higher_threshold_never_finds_more(probes: list[ProbeScores], one: float, other: float, needed: int) -> None:
    low, high = sorted((one, other))
    lenient = decide(probes, threshold=low, agreeing_shots=needed)
    strict = decide(probes, threshold=high, agreeing_shots=needed)
    assert RANK[strict.kind] <= RANK[lenient.kind]
    if strict.kind is VerdictKind.AGREED:
        assert (strict.entry_id, strict.score) == (lenient.entry_id, lenient.score)


@given(tracks, thresholds, needed)
def test_it_finds_what_trying_every_combination_finds(probes: list[ProbeScores], threshold: float, needed: int) -> None:
    best: float | None = None
    for entry in "abcd":
        cosine = {i: dict(p.candidates).get(entry, -2.0) for i, p in enumerate(probes)}
        above = [i for i in cosine if cosine[i] >= threshold]
        for group in combinations(above, needed):
            times = sorted(probes[i].captured_at for i in group)
            if all(b - a >= SHOTS_APART for a, b in pairwise(times)):
                score = min(cosine[i] for i in group)
                best = score if best is None else max(best, score)
    verdict = decide(probes, threshold=threshold, agreeing_shots=needed)
    assert (verdict.kind is VerdictKind.AGREED) == (best is not None)
    if best is not None:
        assert verdict.score == best
        assert len(verdict.agreeing) == needed
        entry = verdict.entry_id
        assert all(dict(probes[i].candidates)[entry] >= best for i in verdict.agreeing)


def test_two_entries_that_are_close_make_it_ambiguous() -> None:
    probes = [shot(0, a=0.70, kin=0.68), shot(300, a=0.60, kin=0.57)]
    close = decide(probes, threshold=0.4, margin=0.05)
    assert (close.kind, close.entry_id, close.rival, close.ambiguous) == (VerdictKind.AGREED, "a", "kin", True)
    assert not decide(probes, threshold=0.4, margin=0.02).ambiguous
    assert not decide(probes, threshold=0.4).ambiguous
    assert decide(probes, threshold=0.58, margin=0.05).rival == "kin", "below the threshold it is as like as before"


def test_a_rival_is_close_in_every_agreeing_shot() -> None:
    probes = [shot(0, a=0.70, b=0.69), shot(300, a=0.68, b=0.3), shot(600, a=0.4, b=0.9)]
    assert not decide(probes, threshold=0.5, margin=0.05).ambiguous


def test_under_18_takes_a_higher_threshold_and_a_third_shot() -> None:
    young = Under18(entries={"child"}, threshold=0.5)
    twice = [shot(0, child=0.6), shot(300, child=0.6)]
    assert decide(twice, threshold=0.4).kind is VerdictKind.AGREED
    assert decide(twice, threshold=0.4, under_18=young).kind is VerdictKind.PENDING
    assert decide([*twice, shot(600, child=0.55)], threshold=0.4, under_18=young).score == 0.55
    assert decide([*twice, shot(600, child=0.45)], threshold=0.4, under_18=young).kind is VerdictKind.PENDING
    assert decide([shot(0, child=0.45)], threshold=0.4, under_18=young).kind is VerdictKind.NO_MATCH
    assert decide([shot(0, a=0.45), shot(300, a=0.45)], threshold=0.4, under_18=young).entry_id == "a"


def test_a_calibration_is_said() -> None:
    assert not decide([shot(0, a=9.0)], threshold=8.0, uncalibrated=False).uncalibrated
    assert decide([], threshold=8.0).uncalibrated


def test_a_margin_that_is_none_is_refused() -> None:
    for margin in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="margin"):
            decide([], threshold=0.4, margin=margin)


@given(tracks, thresholds, needed, st.floats(0, 0.5))
def test_a_margin_changes_nothing_but_the_rival(
    probes: list[ProbeScores], threshold: float, needed: int, margin: float
) -> None:
    without = decide(probes, threshold=threshold, agreeing_shots=needed)
    told = decide(probes, threshold=threshold, agreeing_shots=needed, margin=margin)
    assert (told.kind, told.entry_id, told.score, told.agreeing) == (
        without.kind,
        without.entry_id,
        without.score,
        without.agreeing,
    )
    assert told.rival is None or (told.kind is VerdictKind.AGREED and told.rival != told.entry_id)


@given(tracks, thresholds, needed, st.floats(0, 0.5), st.integers(1, 4))
def test_stricter_for_the_young_never_finds_more(
    probes: list[ProbeScores], threshold: float, needed: int, above: float, shots: int
) -> None:
    plain = decide(probes, threshold=threshold, agreeing_shots=needed)
    young = Under18(entries=frozenset("abcd"), threshold=threshold + above, agreeing_shots=shots)
    strict = decide(probes, threshold=threshold, agreeing_shots=needed, under_18=young)
    assert RANK[strict.kind] <= RANK[plain.kind]
    nobody = Under18(entries=(), threshold=threshold + above, agreeing_shots=shots)
    assert decide(probes, threshold=threshold, agreeing_shots=needed, under_18=nobody) == plain
