"""Who is listed, who is searched for and who walks by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overt.errors import Fatal
from overt_lab.evaluate.drawing import MATED_SHARE, PROBES_EACH, draw

pytestmark = pytest.mark.unit


@st.composite
def experiments(draw_: st.DrawFn) -> tuple[np.ndarray, int, int]:
    counts = draw_(st.lists(st.integers(1, 9), min_size=2, max_size=40))
    subjects = draw_(st.permutations([who for who, count in enumerate(counts) for _ in range(count)]))
    return np.array(subjects), draw_(st.integers(1, len(counts) - 1)), draw_(st.integers(0, 99))


@settings(deadline=None)
@given(experiments())
def test_the_laws_of_the_protocol(case: tuple[np.ndarray, int, int]) -> None:
    subjects, size, seed = case
    drawn = draw(subjects, size, seed)
    listed = subjects[drawn.entries]
    assert len(set(listed.tolist())) == len(listed) == size
    assert all(np.flatnonzero(subjects == who)[0] == place for who, place in zip(listed, drawn.entries, strict=True))
    # Every mated probe is of its own entry, is not its reference, and comes early.
    assert np.array_equal(subjects[drawn.mated], listed[drawn.own])
    assert not set(drawn.mated.tolist()) & set(drawn.entries.tolist())
    searched = np.unique(drawn.own)
    assert len(searched) <= MATED_SHARE * size
    for own in searched:
        mine = np.flatnonzero(subjects == listed[own])
        assert drawn.mated[drawn.own == own].tolist() == mine[1 : PROBES_EACH + 1].tolist()
    # Everybody else, and with every picture, walks by.
    assert drawn.non_mated.tolist() == np.flatnonzero(~np.isin(subjects, listed)).tolist()
    assert len(drawn.non_mated) > 0
    # People with several pictures go first, up to their share.
    several = int((np.bincount(subjects) >= 2).sum())
    assert len(searched) == min(several, int(MATED_SHARE * size))


def test_a_seed_draws_the_same_list_again_and_another_another() -> None:
    subjects = np.repeat(np.arange(200), 3)
    first, again, other = (draw(subjects, 100, seed).entries.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_where_single_pictures_do_not_suffice_others_are_listed_but_not_searched_for() -> None:
    drawn = draw(np.repeat(np.arange(20), 4), 10, 0)
    assert (len(drawn.entries), len(np.unique(drawn.own)), len(drawn.mated)) == (10, 8, 24)
    assert len(drawn.non_mated) == 40


@pytest.mark.parametrize("size", [5, 6])
def test_somebody_must_be_left_to_walk_by(size: int) -> None:
    with pytest.raises(Fatal, match=rf"--watchlist-size {size} is too much for 5 people.*choose 2 or fewer"):
        draw(np.arange(5), size, 0)
