"""Who a cohort is made of: its balance over groups, and pictures that seem to show one person under two names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from overt.cohort import Group
from overt.errors import Fatal
from overt.scoring import Normalisation, normalise, statistics

from overt_lab.wording import counted

FEWEST_PEOPLE: Final = 60
"""1,770 pairs: below it not even a rate of one in a hundred can be told."""

MOST_UNBALANCED: Final = 1.25
"""People of the largest group to the smallest. The K best of somebody of a group that is hardly there are people of
another group, against whom everybody of that group looks alike."""

_CENTRED: Final = Normalisation(best=100, a=1.0, b=0.0)
_TAIL: Final = (1e-2, 1e-3)
_STRANGERS_ALLOWED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Balance:
    """`groups` with their people and pictures; `worst`: people of the largest to the smallest."""

    groups: tuple[Group, ...]
    worst: float

    @property
    def balanced(self) -> bool:
        return self.worst <= MOST_UNBALANCED

    def __str__(self) -> str:
        most = max(self.groups, key=lambda group: group.people)
        least = min(self.groups, key=lambda group: group.people)
        return (
            f"{most.name} has {counted(most.people, 'person', 'people')}, {least.name} has {least.people}: "
            f"{self.worst:.2f} to 1"
        )


def balance_of(groups: NDArray[np.int64], subjects: NDArray[np.int64], names: tuple[str, ...]) -> Balance:
    """Of the pictures that gave a template. A group without any counts as one person, so that `worst` is finite."""
    found = tuple(
        Group(name, len(np.unique(subjects[groups == number])), int((groups == number).sum()))
        for number, name in enumerate(names)
    )
    people = [group.people for group in found]
    return Balance(found, max(people) / max(1, min(people)))


def check(balance: Balance, *, unbalanced: bool) -> None:
    """Fatal, for people, for too few of them, or if they are not balanced and nobody said they need not be."""
    people = sum(group.people for group in balance.groups)
    if people < FEWEST_PEOPLE:
        raise Fatal(f"not enough data: a cohort takes {FEWEST_PEOPLE} people with a face found, there are {people}")
    if not balance.balanced and not unbalanced:
        raise Fatal(
            f"the cohort is not balanced: {balance} (at most {MOST_UNBALANCED} to 1). An unbalanced cohort makes "
            "errors less equal than none. Leave out pictures of the larger groups, or say --unbalanced"
        )


@dataclass(frozen=True, slots=True, repr=False)
class SamePeople:
    """`members`: int64[m], after joining; `joined`: how many pictures went to somebody else. `above`: the score."""

    members: NDArray[np.int64]
    joined: int
    pairs: int


def same_people(templates: NDArray[np.float32], subjects: NDArray[np.int64], *, join: bool) -> SamePeople:
    """Finds pairs of two members who are so alike that they are one person, and joins them if asked to.

    By the cosine less both templates' mean of the K best (so that no group's strangers are taken for one person): its
    tail between the rates 1e-2 and 1e-3 is drawn on as an exponential, which is more than there is. Pairs beyond the
    score that less than half a pair of strangers would reach are one person. Left in, twenty such pairs among 500,000
    would be all there is of the rates below 1e-4.
    """
    best = min(_CENTRED.best, len(templates) // 4)
    own = statistics(templates, templates, best, leave_out=subjects, cohort_members=subjects)
    scores = normalise(templates @ templates.T, own, own, Normalisation(best, _CENTRED.a, _CENTRED.b))
    first, second = np.triu_indices(len(templates), 1)
    others = subjects[first] != subjects[second]
    first, second = first[others], second[others]
    of_two = scores[first, second]
    near, far = np.quantile(of_two, [1 - rate for rate in _TAIL])
    a_power = (far - near) / math.log(_TAIL[0] / _TAIL[1])
    beyond = far + a_power * math.log(max(1.0, _TAIL[1] * len(of_two) / _STRANGERS_ALLOWED))
    (close,) = np.nonzero(of_two >= max(beyond, far))
    members = subjects.copy()
    if join:
        for i, j in zip(first[close], second[close], strict=True):
            members[members == members[j]] = members[i]
    return SamePeople(members, int((members != subjects).sum()), len(close))
