"""Who is in a clip, and who of them was seen."""

from __future__ import annotations

import pytest
from overt_lab.bench.people import Box, Face, Person, Shown, iou, paired, people, placed, seen

pytestmark = pytest.mark.unit


def _walk(x: float, *, good: bool = True, step: float = 4.0, missing: tuple[int, ...] = ()) -> dict[int, Face]:
    """Ten pictures of somebody who moves to the right."""
    return {
        place: Face((x + step * place, 50.0, 40.0, 50.0), 0.5 + place / 100 if good else 0.0)
        for place in range(10)
        if place not in missing
    }


def _pictures(*walks: dict[int, Face]) -> list[list[Face]]:
    return [[walk[place] for walk in walks if place in walk] for place in range(10)]


def test_overlap() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert iou((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert iou((0, 0, 10, 10), (0, 30, 10, 10)) == 0


def test_the_closest_pair_goes_first_and_nobody_twice() -> None:
    some = [(0.0, 0.0, 10.0, 10.0), (4.0, 0.0, 10.0, 10.0)]
    assert paired(some, [(3.0, 0.0, 10.0, 10.0)], 0.3) == [(1, 0)]
    assert paired(some, [(3.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 10.0)], 0.3) == [(0, 1), (1, 0)]


def test_two_who_walk_side_by_side_are_two() -> None:
    found = people(_pictures(_walk(0), _walk(300)))
    assert [len(person.faces) for person in found] == [10, 10]


def test_somebody_missed_for_a_moment_is_one_person() -> None:
    found = people(_pictures(_walk(0, missing=(4, 5))))
    assert [len(person.faces) for person in found] == [8]
    assert len(people(_pictures(_walk(0, missing=(4, 5))), patience=1)) == 2


def test_who_was_never_good_enough_does_not_count() -> None:
    assert people(_pictures(_walk(0, good=False))) == []


def test_the_most_good_faces_come_first_and_the_best_picture() -> None:
    found = people(_pictures(_walk(0, missing=(7, 8, 9)), _walk(300)))
    assert [person.good_faces for person in found] == [10, 7]
    assert found[0].best_places(2) == [9, 8]
    assert found[0].size_px == 50


def test_an_answer_finds_its_picture_by_its_boxes() -> None:
    everybody: dict[int, list[Box]] = {place: [(30.0 * place, 0.0, 40.0, 50.0)] for place in range(5)}
    assert placed([(61.0, 1.0, 40.0, 50.0)], range(5), everybody) == 2
    assert placed([(45.0, 1.0, 40.0, 50.0)], [0, 1], everybody) == 1
    assert placed([], range(5), everybody) is None
    assert placed([(600.0, 1.0, 40.0, 50.0)], range(5), everybody) is None


def _shown(turn: tuple[int, int], place: int, *boxes: Box, shots: tuple[tuple[int, int], ...]) -> Shown:
    return Shown(turn, place, boxes, shots)


def test_seen_is_a_templated_shot_on_the_person_in_the_same_picture() -> None:
    persons = [Person(_walk(0)), Person(_walk(300))]
    here, there = (21.0, 51.0, 40.0, 50.0), (321.0, 50.0, 40.0, 50.0)
    told = [
        _shown((0, 1), 5, here, there, shots=((0, 7),)),  # only the first was templated
        _shown((0, 2), 5, here, there, shots=((0, 9), (1, 8))),
        _shown((0, 2), 6, here, shots=((0, 11),)),  # a track of its own, of somebody who was seen before
        _shown((0, 3), 5, here, there, shots=((0, 12), (1, 13))),  # not a whole pass
        _shown((1, 1), 0, here, shots=((0, 1),)),  # was elsewhere in that picture
    ]
    found = seen(persons, told, [(0, 1), (0, 2), (1, 1)])
    assert (found.people, found.passes, found.people_passes, found.people_passes_seen) == (1, 3, 6, 3)
    assert found.fragmentation == pytest.approx(5 / 3, abs=1e-3)


def test_without_a_pass_nothing_is_said() -> None:
    found = seen([Person(_walk(0))], [], [])
    assert (found.people, found.people_passes, found.fragmentation) == (0, 0, None)
