"""The use case `overt calibrate`: pictures in, a cohort out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from overt.cohort import Cohort, Likeness
from overt.scoring import MissRates, Normalisation, ScoreToRate
from overt_detect.domain.quality import Quality

from overt_lab.calibrate.choosing import Choice, Trial, choose
from overt_lab.calibrate.leaving_out import leaving_out
from overt_lab.calibrate.likeness import likeness_of
from overt_lab.calibrate.mated import Mated
from overt_lab.calibrate.members import Balance, SamePeople, balance_of, check, same_people
from overt_lab.calibrate.strangers import strangers
from overt_lab.evaluate.faces import EngineChoice, Enroller, Ran, open_enroller, read_picture
from overt_lab.evaluate.labels import Labels, read_labels
from overt_lab.evaluate.scores import Standing
from overt_lab.evaluate.templates import Mirrored, Templates, enrol

FEWEST_MATED_PEOPLE: Final = 200
"""19,900 pairs of strangers: from so many on rates are taken from the mated pictures, which are like the site's."""


@dataclass(frozen=True, slots=True)
class Plan:
    images: Path
    labels: Path
    by: tuple[str, ...]
    mated: tuple[Path, Path] | None
    choice: EngineChoice
    workers: int
    unbalanced: bool = False
    mirrored: Mirrored = Mirrored.REFERENCES
    source: str = ""
    legal_basis: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Enrolled:
    """Of one folder."""

    labels: Labels
    templates: Templates
    likeness: Likeness | None

    @property
    def fte(self) -> int:
        return int(self.templates.missing.sum())


@dataclass(frozen=True, slots=True, repr=False)
class Calibrated:
    """The cohort and what is told beside it. `own_rates`: of the members; `mated_rates`: of the people of the mated
    pictures, None without enough of them. One of them is the cohort's."""

    cohort: Cohort
    choice: Choice
    balance: Balance
    same: SamePeople
    own_rates: ScoreToRate
    mated_rates: ScoreToRate | None
    fte: int
    mated_fte: int
    ran: Ran


def calibrate(plan: Plan) -> Calibrated:
    """Takes some 30 ms of a core a picture, and half a minute for the choice. Fatal, for people, before the pictures
    are read if anything is amiss with the tables, and after if they are too few or not balanced."""
    labels = read_labels(plan.labels, plan.images, plan.by, subject_needed=False)
    mated_labels = None if plan.mated is None else read_labels(plan.mated[1], plan.mated[0])
    enroller = open_enroller(plan.choice, True, plan.mirrored, plan.workers)
    cohort = _enrolled(labels, enroller, plan.workers)
    mated = None if mated_labels is None else _enrolled(mated_labels, enroller, plan.workers)
    return of_templates(plan, cohort, mated, enroller.ran)


def of_templates(plan: Plan, cohort: Enrolled, mated: Enrolled | None, ran: Ran) -> Calibrated:
    """The same, once there are templates."""
    there = ~cohort.templates.missing
    templates, groups = cohort.templates[there], cohort.labels.groups[there]
    names = cohort.labels.group_names
    before = balance_of(groups, cohort.labels.subjects[there], names)
    check(before, unbalanced=plan.unbalanced)
    same = same_people(templates.rows, cohort.labels.subjects[there], join=not cohort.labels.named)
    _, members = np.unique(same.members, return_inverse=True)
    members = members.astype(np.int64)
    balance = balance_of(groups, members, names)
    several = None if mated is None else Mated.of(mated.labels, mated.templates)
    trial = Trial(templates, members, strangers(templates, members, groups), len(names), several)
    choice = choose(trial)
    how = choice.chosen.how
    pairs = strangers(templates, members)
    own_rates = pairs.rates(pairs.members_scores(leaving_out(templates, members, how.best), how))
    mated_rates = _rates_of(several, templates.rows, how)
    return Calibrated(
        Cohort(
            templates=templates.rows,
            members=members,
            groups=balance.groups,
            model_digest=ran.model_digest,
            normalisation=how,
            score_to_rate=mated_rates or own_rates,
            rates_of="mated" if mated_rates else "cohort",
            misses=_misses(several, templates.rows, how),
            likeness=cohort.likeness,
            likeness_of_mated=None if mated is None else mated.likeness,
            one_picture_one_person=not cohort.labels.named,
            mirrored=plan.mirrored is Mirrored.BOTH,
            chosen_by=choice.why,
            source=plan.source,
            legal_basis=plan.legal_basis,
            created_at=datetime.now(UTC),
        ),
        choice,
        balance,
        same,
        own_rates,
        mated_rates,
        cohort.fte,
        mated.fte if mated else 0,
        ran,
    )


def _enrolled(labels: Labels, enroller: Enroller, workers: int) -> Enrolled:
    seen: list[Quality] = []
    (templates,) = enrol(labels.images, [enroller.watched(seen.append)], read=read_picture, workers=workers)
    return Enrolled(labels, templates, likeness_of(seen))


def _rates_of(mated: Mated | None, cohort: NDArray[np.float32], how: Normalisation) -> ScoreToRate | None:
    if mated is None or len(mated.references) < FEWEST_MATED_PEOPLE:
        return None
    pairs = strangers(mated.templates, mated.people)
    return pairs.rates(pairs.scores(Standing.of(mated.templates, cohort, how.best), how))


def _misses(mated: Mated | None, cohort: NDArray[np.float32], how: Normalisation) -> MissRates | None:
    if mated is None or not len(mated.probes):
        return None
    return mated.misses(mated.scored(Standing.of(mated.templates, cohort, how.best), how))
